"""A thread that may block: what is asked of it is done in order. All that the database is asked is in one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Blocking:
    """Does what blocks while the event loop goes on."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)

    async def __call__(self, work: Callable[[], T]) -> T:
        """The result of this work; who is cancelled meanwhile waits for its end all the same."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # What the thread does must not go on beside what comes next.
            await asyncio.wait([running])
            raise

    def end(self) -> None:
        """Nothing comes any more."""
        self._thread.shutdown(wait=False)
