"""The contract of a flow: what its file and the services declare, held against what sagas did."""
