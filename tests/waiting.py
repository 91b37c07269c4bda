"""Wait for a condition, never for a time."""

import time
from collections.abc import Callable

LOOK_SECONDS = 0.02


def until(condition: Callable[[], object], within: float, *, what: str = "") -> None:
    """Return once the condition holds; fail the test when it does not within so many seconds.

    Blocks the thread, and with it an event loop: an async test calls it through `asyncio.to_thread`
    if the condition needs the loop to go on.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what or condition}")
        time.sleep(LOOK_SECONDS)
