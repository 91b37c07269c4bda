"""What lies between processes and brokers: requests that take their time, get lost, or find nobody."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple

from aiokafka.errors import RequestTimedOutError

from tests.simulation.log import Log
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.plan import jitter

TIMEOUT_MS = 3_000
_WAY_MS = 12


class _Write(NamedTuple):
    """Records on their way into a partition, and when their producer gives them up."""

    process: Process
    append: Callable[[], Any]
    future: "asyncio.Future[Any]"
    late_ms: float


class Network:
    """Carries requests to the log. `down`: until when a topic takes nothing."""

    def __init__(self, loop: SimulatedLoop, log: Log, seed: int) -> None:
        self.loop = loop
        self.log = log
        self.down_until_ms: dict[str, int] = {}
        self.stalled_until_ms: dict[tuple[str, int], int] = {}
        self._seed = seed
        self._asked: Counter[str] = Counter()
        self._arrivals_ms: dict[tuple[str, str, int], float] = {}
        self._held: dict[tuple[str, str, int], deque[_Write]] = {}

    def jitter(self, name: str, below: int) -> int:
        """A number that follows from the plan and the name."""
        return jitter(self._seed, name, below)

    def way_ms(self, process: Process) -> int:
        """How long the next packet of a process is under way."""
        self._asked[process.name] += 1
        return 1 + self.jitter(f"{process.name} {self._asked[process.name]}", _WAY_MS)

    def ask(self, process: Process, answer: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Ask a broker: the request leaves now, and is done even if the process dies meanwhile."""
        future: asyncio.Future[Any] = self.loop.create_future()
        self.loop.outside(self.way_ms(process), self._answer, process, answer, future)
        return future

    def write(
        self, process: Process, topic: str, partition: int, append: Callable[[], Any]
    ) -> "asyncio.Future[Any]":
        """The same for records: in order by process and partition; a dead process does not try again."""
        future: asyncio.Future[Any] = self.loop.create_future()
        place = process.name, topic, partition
        now_ms = self.loop.time() * 1000
        arrival_ms = max(now_ms + self.way_ms(process), self._arrivals_ms.get(place, 0))
        self._arrivals_ms[place] = arrival_ms
        write = _Write(process, append, future, now_ms + TIMEOUT_MS)
        self.loop.outside(arrival_ms - now_ms, self._arrive, place, write)
        return future

    def _arrive(self, place: tuple[str, str, int], write: "_Write") -> None:
        held = self._held.setdefault(place, deque())
        held.append(write)
        if len(held) == 1:
            self._take(place)

    def _take(self, place: tuple[str, str, int]) -> None:
        """What stands before a partition goes in, the oldest first, as soon as its topic takes something."""
        held = self._held[place]
        while held:
            process, append, future, late_ms = held[0]
            wait_ms = self.down_until_ms.get(place[1], 0) - self.loop.now_ms
            left_ms = late_ms - self.loop.time() * 1000
            if wait_ms <= 0:
                self._answer(process, append, future)
            elif process.alive and left_ms > 0:
                self.loop.outside(min(wait_ms, left_ms), self._take, place)
                return
            elif process.alive:
                _settle(future, None, RequestTimedOutError())
            held.popleft()

    def _answer(self, process: Process, answer: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = answer()
        except Exception as error:
            failure = error
        self.loop.outside(self.way_ms(process), _settle, future, result, failure)


def _settle(future: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
