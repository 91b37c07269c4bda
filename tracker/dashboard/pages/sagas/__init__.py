"""Sagas: searched on the server, a page at a time, everything that is asked for in the address."""
