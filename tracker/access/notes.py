"""Write things down beside the work: a request must not wait because others write to the database."""

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Notes:
    """What is being written, at most one note for each key; one that fails is told of and dropped."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[None]] = {}

    def put(self, key: str, write: Callable[[], None]) -> None:
        """Call `write` in a thread, unless it is being done for this key."""
        if key not in self._running:
            task = asyncio.create_task(_written(write))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))

    async def close(self) -> None:
        """Wait until all is written."""
        await asyncio.gather(*self._running.values())


async def _written(write: Callable[[], None]) -> None:
    try:
        await asyncio.to_thread(write)
    except Exception as error:  # whatever the database says: the next request notes it again
        logger.warning("that somebody is there can't be noted: %s", error)
