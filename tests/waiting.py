"""Wait for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.02
LOOK_SECONDS_MAX = 1


def until(condition: Callable[[], T | None], within: float, *, what: str = "") -> T:
    """What the condition gives once it holds; fail the test when it does not within so many seconds.

    Blocks the thread, and with it an event loop: an async test calls it through `asyncio.to_thread`
    if the condition needs the loop to go on. A look that takes long, as a command does, is followed by
    a pause as long: or to look would take the processor from what is waited for.
    """
    deadline = time.monotonic() + within
    while True:
        began = time.monotonic()
        if found := condition():
            return found
        ended = time.monotonic()
        if ended > deadline:
            raise AssertionError(f"not within {within} s: {what or condition}")
        time.sleep(min(max(ended - began, LOOK_SECONDS), LOOK_SECONDS_MAX))
