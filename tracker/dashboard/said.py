"""The word at the bottom of the window when something was done."""

from typing import NamedTuple


class Said(NamedTuple):
    """Shown for some seconds; with a `secret` until it is closed, because it is not shown again.

    What was chosen and typed for what is not `done` stays, to be mended.
    """

    text: str
    secret: str = ""
    done: bool = True
