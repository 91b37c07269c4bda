"""Running parts of a process together: until told to stop, until one fails, and then again."""

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine
from typing import Protocol, TypeVar

logger = logging.getLogger(__name__)

_RESTART_FIRST_SECONDS = 0.5
_RESTART_MAX_SECONDS = 10.0
_HEALTHY_SECONDS = 30.0
_CANCEL_SECONDS = 1.0

T = TypeVar("T")


def stopped_by_signals() -> asyncio.Event:
    """What SIGTERM and SIGINT set from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


class Delays:
    """How long to wait before the next attempt: ever longer, until one has gone well for a while."""

    def __init__(self) -> None:
        self._delay = _RESTART_FIRST_SECONDS
        self._last = time.monotonic()

    def next(self) -> float:
        now = time.monotonic()
        if now - self._last > _HEALTHY_SECONDS:
            self._delay = _RESTART_FIRST_SECONDS
        self._last = now
        delay, self._delay = self._delay, min(2 * self._delay, _RESTART_MAX_SECONDS)
        return delay


class Part(Protocol):
    async def run(self, stop: asyncio.Event) -> None: ...


async def together(stop: asyncio.Event, grace_seconds: float, *parts: Part) -> None:
    """Run the parts until told to stop or one of them fails; then end all, and raise what one raised."""
    ended = asyncio.Event()
    tasks = [asyncio.create_task(part.run(ended), name=type(part).__name__) for part in parts]
    told = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((told, *tasks), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.set()
        told.cancel()
        _, late = await asyncio.wait(tasks, timeout=grace_seconds)
        for task in late:
            logger.warning("the %s did not end within %g s", task.get_name().lower(), grace_seconds)
            task.cancel()
        await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


async def unless_stopped(stop: asyncio.Event, work: Coroutine[None, None, T]) -> T | None:
    """The result of this work; None, and the work cancelled, when told to stop before."""
    told = asyncio.create_task(stop.wait())
    working = asyncio.create_task(work)
    await asyncio.wait((told, working), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if working.done():
        return working.result()
    working.cancel()
    await asyncio.wait((working,), timeout=_CANCEL_SECONDS)
    return None
