"""What lies between processes and brokers: requests that take their time, get lost, or find nobody."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiokafka.errors import RequestTimedOutError

from tests.simulation.log import Log
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.plan import jitter

TIMEOUT_MS = 3_000
_WAY_MS = 12


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
        self.loop.outside(arrival_ms - now_ms, self._arrive, process, topic, append, future, now_ms)
        return future

    def _arrive(
        self,
        process: Process,
        topic: str,
        append: Callable[[], Any],
        future: "asyncio.Future[Any]",
        sent_ms: float,
    ) -> None:
        wait_ms = self.down_until_ms.get(topic, 0) - self.loop.now_ms
        if wait_ms <= 0:
            self._answer(process, append, future)
        elif not process.alive:
            return
        elif self.loop.time() * 1000 - sent_ms >= TIMEOUT_MS:
            _settle(future, None, RequestTimedOutError())
        else:
            left_ms = TIMEOUT_MS - (self.loop.time() * 1000 - sent_ms)
            self.loop.outside(min(wait_ms, left_ms), self._arrive, process, topic, append, future, sent_ms)

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
