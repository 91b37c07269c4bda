"""Contestants of the hop: each a process of its own, started once, that runs whenever it is its turn.

The process reads one heat a line from its standard input and answers with the seconds it took.
"""

import asyncio
import importlib
import json
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field

ENDLESS = sys.maxsize
HEAT_SECONDS_MAX = 30

Contestant = Callable[["Heat"], Awaitable[float]]
"""Handles the records of a heat and returns the seconds from the first one polled to the last commit."""


@dataclass(frozen=True)
class Heat:
    """What a contestant is to do: read `source` from its beginning as `group`, write `target`."""

    bootstrap_servers: str
    group: str
    source: str
    target: str
    records: int


@dataclass
class Stopwatch:
    """From the first record polled to the commit of the last."""

    left: int
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = 0.0
    seconds: float = 0.0

    def polled(self) -> None:
        self.began = self.began or time.perf_counter()

    def committed(self, records: int) -> None:
        self.left -= records
        if self.left <= 0 and not self.finished.is_set():
            self.seconds = time.perf_counter() - self.began
            self.finished.set()


class Entrant:
    """A contestant's process, seen from outside."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, contestant: str) -> "Entrant":
        """Start `module:function` in a process of its own."""
        arguments = (sys.executable, "-m", "tests.bench.contest", contestant)
        return cls(await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE))

    async def begin(self, heat: Heat) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(heat)).encode() + b"\n")
        await self._process.stdin.drain()

    async def seconds(self) -> float:
        assert self._process.stdout is not None
        async with asyncio.timeout(HEAT_SECONDS_MAX):
            return float(await self._process.stdout.readline())

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()


def _compete(contestant: str) -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # leaders of new topics, retries: they mend it
    module, _, name = contestant.partition(":")
    run: Contestant = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        print(asyncio.run(_one(run, Heat(**json.loads(line)))), flush=True)


async def _one(run: Contestant, heat: Heat) -> float:
    return await run(heat)


if __name__ == "__main__":
    _compete(sys.argv[1])
