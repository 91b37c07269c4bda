"""Who sits in front of it."""

import getpass
import sys

import typer


def user_name() -> str:
    """The user's name on this machine; the process ends with exit code 1 where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # containers have users without a name
        print("saga: your user has no name here: say who asks with --by", file=sys.stderr)
        raise typer.Exit(1) from None
