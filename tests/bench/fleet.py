"""The whole example at work: four services and the tracker, each a process of its own."""

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from saga.core.service import Guarantee
from saga.runtime.kafka import AIOKafkaConsumer, Topic, TopicPartition, ensure_topics
from saga.runtime.settings import KafkaSettings
from schemas.orders import OrderLine, OrderPlaced
from tests.bench.sample import order_id

SERVICES = ("orders", "inventory", "payments", "shipping")
DEADLINE_SECONDS = 40


@asynccontextmanager
async def fleet(bootstrap_servers: str, guarantee: Guarantee) -> AsyncIterator[None]:
    """Start them all; they work once the orders that warm them up have come through."""
    commands = [("tests.bench.services", name, guarantee) for name in SERVICES]
    with tempfile.TemporaryDirectory() as folder:
        settings = {"SAGA_BOOTSTRAP_SERVERS": bootstrap_servers, "SAGA_STATE_DIR": folder}
        async with AsyncExitStack() as stack:
            for command in (*commands, ("tracker.runtime.worker",)):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", *command, env={**os.environ, **settings}, stderr=DEVNULL
                )
                stack.push_async_callback(_end, process)
            yield


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()


def order(number: int) -> OrderPlaced:
    return OrderPlaced(
        order_id=order_id(number),
        lines=[OrderLine(sku="bolt-m6-zinc", quantity=100), OrderLine(sku="nut-m6-zinc", quantity=100)],
        amount=41.5,
        card="4242-4242-4242-4242",
    )


class Arrivals:
    """When what was first seen on a topic by a `read_committed` reader, on the clock `time.perf_counter`.

    Parameters
    ----------
    what : names what a record tells has arrived; None if nothing has.
    """

    def __init__(self, what: Callable[[Any], str | None]) -> None:
        self._what = what
        self._times: dict[str, float] = {}

    def __getitem__(self, name: str) -> float:
        return self._times[name]

    def __len__(self) -> int:
        return len(self._times)

    @property
    def last(self) -> float:
        return max(self._times.values())

    def clear(self) -> None:
        self._times.clear()

    async def until(self, count: int, of: str) -> None:
        """Return when so many things have arrived."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(self) < count:
            assert time.monotonic() < deadline, f"{len(self)} of {count} {of} in {DEADLINE_SECONDS} s"
            await asyncio.sleep(0.02)

    @classmethod
    @asynccontextmanager
    async def on(
        cls, bootstrap_servers: str, topic: Topic, what: Callable[[Any], str | None]
    ) -> AsyncIterator["Arrivals"]:
        """Read a topic from its end on, making it if it is missing."""
        settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
        await ensure_topics(settings, [topic])
        arrivals = cls(what)
        async with AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers, isolation_level="read_committed"
        ) as consumer:
            partitions = [TopicPartition(topic.name, number) for number in range(settings.topic_partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_end(*partitions)
            reading = asyncio.create_task(arrivals._read(consumer))
            try:
                yield arrivals
            finally:
                reading.cancel()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            taken: Mapping[Any, Any] = await consumer.getmany(timeout_ms=1000)
            now = time.perf_counter()
            for records in taken.values():
                for record in records:
                    name = self._what(record)
                    if name is not None:
                        self._times.setdefault(name, now)


def record_key(record: Any) -> str:
    return str(record.key, "utf-8")
