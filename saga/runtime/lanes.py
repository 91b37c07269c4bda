"""Order per key, concurrency across keys."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Lanes(Generic[Item]):
    """Runs `handle` for each item: one after the other within a lane, `concurrency` lanes at once.

    Workers are started only when the running ones wait for something: handlers that never wait cost
    no task each. `handle` must not raise; if it does, that is a bug of ours, and `failed` is told.
    """

    def __init__(
        self,
        handle: Callable[[Item], Awaitable[None]],
        concurrency: int,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._handle = handle
        self._concurrency = concurrency
        self._failed = failed
        self._lanes: dict[Hashable, deque[Item]] = {}
        self._ready: deque[Hashable] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, lane: Hashable, item: Item) -> None:
        """Put an item at the end of its lane. Call `start` when a batch of them is in."""
        queue = self._lanes.get(lane)
        if queue is None:
            self._lanes[lane] = deque((item,))
            self._ready.append(lane)
            self._idle.clear()
        else:
            queue.append(item)

    def start(self) -> None:
        """Let the lanes that were added run."""
        if self._ready and not self._stopped and len(self._workers) < self._concurrency:
            worker = self._loop.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._ended)
            # Behind the worker's first step in the loop's queue: if lanes are left by then, the
            # worker waits for something, and another one is needed.
            self._loop.call_soon(self.start)

    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._lanes

    async def wait_idle(self, within_seconds: float) -> None:
        """Return when nothing waits and nothing runs, but after so many seconds at the latest."""
        try:
            async with asyncio.timeout(within_seconds):
                await self._idle.wait()
        except TimeoutError:
            return

    async def drain(self, within_seconds: float) -> None:
        """Start no further item, and give the running ones this long to end."""
        self._stopped = True
        if self._workers:
            await asyncio.wait(self._workers, timeout=within_seconds)

    async def cancel(self) -> None:
        """End everything; items that are not finished are dropped."""
        self._stopped = True
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        self._lanes.clear()
        self._ready.clear()
        self._idle.set()

    async def _work(self) -> None:
        while self._ready and not self._stopped:
            lane = self._ready.popleft()
            queue = self._lanes[lane]
            while queue and not self._stopped:
                await self._handle(queue[0])
                queue.popleft()
            if not queue:
                del self._lanes[lane]
        if not self._lanes:
            self._idle.set()

    def _ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if worker.cancelled():
            return
        error = worker.exception()
        if error is not None:
            self._failed(error)
