"""Simulated time: an event loop that runs several processes, each of which can die or be paused at any await.

Nothing happens by chance: what is due at the same time runs in the order in which it was asked for. A
process is told by the context of its tasks, so whatever they start belongs to it as well.
"""

import asyncio
import warnings
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any

from tests.facts import NOON_MS

_process: ContextVar["Process | None"] = ContextVar("process", default=None)

_KEPT_TASKS = 200


class Process:
    """Tasks that live and die together. `paused`: what they would have done since, in order."""

    def __init__(self, loop: "SimulatedLoop", name: str) -> None:
        self.name = name
        self.alive = True
        self.paused: list[_Handle] | None = None
        self.steps_left = -1
        self._loop = loop
        self._tasks: list[asyncio.Task[Any]] = []
        self.context = copy_context()
        self.context.run(_process.set, self)

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A task of this process."""
        return self._loop.create_task(work, context=self.context.copy())

    def keep(self, task: "asyncio.Task[Any]") -> None:
        """Tasks are kept to the end: what a garbage collector ends, and when, is chance."""
        self._tasks.append(task)
        if self.alive and len(self._tasks) > _KEPT_TASKS:
            self._tasks = [task for task in self._tasks if not task.done()]

    def kill(self) -> None:
        """Nothing of it ever runs again: no `finally`, no answer to what it asked for."""
        self.alive = False
        self._loop.dropped += self.paused or ()
        self.paused = None

    def pause(self) -> None:
        if self.paused is None:
            self.paused = []

    def resume(self) -> None:
        """It goes on where it was, and knows nothing of the pause but what the clock says."""
        paused, self.paused = self.paused, None
        for handle in paused or ():
            self._loop.ready.append(handle)

    def bury(self) -> None:
        """After the simulation: end its tasks without a word."""
        self.alive = False
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                try:
                    work = task.get_coro()
                    assert work is not None
                    work.close()
                except (RuntimeError, asyncio.InvalidStateError):
                    pass  # it would have awaited more
        self._tasks = []


class _Handle:
    __slots__ = ("args", "call", "context", "is_cancelled", "process", "when_seconds")

    def __init__(
        self, call: Callable[..., Any], args: tuple[Any, ...], context: Context, when_seconds: float
    ) -> None:
        self.call = call
        self.args = args
        self.context = context
        self.process = context.get(_process)
        self.when_seconds = when_seconds
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.when_seconds


class SimulatedLoop:
    """As much of an event loop as `asyncio` needs for tasks, futures, locks and timeouts."""

    def __init__(self) -> None:
        self.ready: deque[_Handle] = deque()
        self.processes: list[Process] = []
        self._seconds = 0.0
        self._timers: list[tuple[float, int, _Handle]] = []
        self._count = 0
        self._outside = Context()
        self.dropped: list[_Handle] = []
        self._as_loop: Any = self
        self.on_death: Callable[[Process], None] = lambda process: None

    @property
    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return NOON_MS + round(self._seconds * 1000)

    def process(self, name: str) -> Process:
        process = Process(self, name)
        self.processes.append(process)
        return process

    def outside(self, delay_ms: float, call: Callable[..., Any], *args: Any) -> None:
        """Have it called by no process: by the network, a broker, the world."""
        self._at(self._seconds + delay_ms / 1000, call, args, self._outside)

    def inside(self, process: Process, delay_ms: float, call: Callable[..., Any], *args: Any) -> None:
        """Have it called by a process, unless it dies before."""
        self._at(self._seconds + delay_ms / 1000, call, args, process.context.copy())

    def run_until(self, end_ms: int) -> None:
        """Run everything that is due until then, by `now_ms`."""
        end = (end_ms - NOON_MS) / 1000
        events._set_running_loop(self._as_loop)
        try:
            while self._step(end):
                pass
            self._seconds = max(self._seconds, end)
        finally:
            events._set_running_loop(None)

    def end(self) -> None:
        """Nothing runs any more."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            events._set_running_loop(self._as_loop)
            try:
                for process in self.processes:
                    process.bury()
            finally:
                events._set_running_loop(None)
            self.ready.clear()
            self._timers.clear()
            self.dropped.clear()

    def _step(self, end: float) -> bool:
        ready = self.ready
        if not ready:
            if not self._timers or self._timers[0][0] > end:
                return False
            self._seconds, _, handle = heappop(self._timers)
        else:
            handle = ready.popleft()
        if handle.is_cancelled:
            return True
        process = handle.process
        if process is not None:
            if not process.alive:
                self.dropped.append(handle)
                return True
            if process.paused is not None:
                process.paused.append(handle)
                return True
            if process.steps_left >= 0:
                if process.steps_left == 0:
                    self.dropped.append(handle)
                    process.kill()
                    self.on_death(process)
                    return True
                process.steps_left -= 1
        handle.context.run(handle.call, *handle.args)
        return True

    def _at(
        self, seconds: float, call: Callable[..., Any], args: tuple[Any, ...], context: Context
    ) -> _Handle:
        handle = _Handle(call, args, context, seconds)
        self._count += 1
        heappush(self._timers, (seconds, self._count, handle))
        return handle

    # What asyncio calls.

    def time(self) -> float:
        return self._seconds

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self._as_loop)

    def create_task(
        self,
        coro: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._as_loop, name=name, context=context)
        process = (context or copy_context()).get(_process)
        if process is not None:
            process.keep(task)
        return task

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        handle = _Handle(callback, args, context or copy_context(), self._seconds)
        self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        return self._at(self._seconds + max(0.0, delay), callback, args, context or copy_context())

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        return self._at(max(when, self._seconds), callback, args, context or copy_context())

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Of a task whose error nobody asked for: whoever started it is dead."""
