"""`python -m saga.cli`: the command where it is not on the path."""

from saga.cli.app import main

main()
