"""Processes that another one of ours starts as its helpers: what both ends of the pipe need."""

import contextlib
import os
import signal
import sys


def answering_pipe() -> int:
    """The descriptor of what was the standard output, for answers alone: what is printed goes to the log."""
    pipe = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return pipe


def how_it_ended(code: int) -> str:
    """An exit code as people read it; a negative one is the signal that ended the process, by its name."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
