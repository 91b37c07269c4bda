"""Where output goes: a terminal with colours, or plain text. NO_COLOR, COLUMNS are respected by rich."""

import os
import sys

from rich.console import Console

from tracker.core.contract.findings import Kind
from tracker.core.status import Status
from tracker.view.clocks import Stand

_PLAIN_WIDTH = 200

STATUS_STYLES = {
    Status.OPEN: "cyan",
    Status.RETRYING: "yellow",
    Status.PAUSED: "blue",
    Status.COMPENSATING: "yellow",
    Status.STUCK: "bold red",
    Status.COMPENSATED: "magenta",
    Status.FAILED: "red",
    Status.CANCELLED: "magenta",
    Status.COMPLETED: "green",
}
"""Colours mean state, and nothing else is coloured."""

STAND_STYLES: dict[Stand, str] = {
    "on time": "",
    "due soon": "yellow",
    "overdue": "red",
    "met": "green",
    "late": "red",
    "missed": "red",
    "stopped": "",
    "paused": "blue",
}


FINDING_STYLES = {
    Kind.UNEXPECTED: "yellow",
    Kind.MISSING: "red",
    Kind.OUT_OF_ORDER: "yellow",
    Kind.DUPLICATE: "yellow",
    Kind.ORPHAN: "yellow",
    Kind.STUCK: "bold red",
}


def output() -> Console:
    """Standard output; as wide as the terminal, and wide enough for whole lines without one."""
    plain = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_PLAIN_WIDTH if plain else None, highlight=False)


def note(text: str) -> None:
    """Something about the output, told on stderr so that pipes carry the output alone."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
