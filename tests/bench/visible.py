"""From an event to the state of its saga for all to read, at light load and at 20,000 events/s."""

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import quantiles

from msgspec import json

from saga.core.receipt import SERVICES_TOPIC
from saga.runtime.kafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, partition_counts
from saga.runtime.settings import KafkaSettings
from tests.bench import orders
from tests.bench.row import Row
from tests.bench.tracker import Worker, worker
from tracker.core.clock import CLOCK_ROW
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC, decode_saga

LIGHT, LIGHT_SECONDS = 50, 20
FULL, FULL_SECONDS = 20_000, 25
WARM_UP_SECONDS = 5
SETTLE_SECONDS = 60


class Visible:
    """Reads the saga table as the CLI does; notes of each event how old it was when its saga told of it."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._events: set[str] = set()
        self.delays_ms: list[int] = []

    async def read(self) -> None:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=100, max_records=500)).values():
                now_ms = time.time_ns() // 1_000_000
                for record in records:
                    if record.key != CLOCK_ROW.encode() and record.value is not None:
                        self._take(record.value, now_ms)

    def _take(self, row: bytes, now_ms: int) -> None:
        for event, step in decode_saga(row).steps.items():
            if step.seen is not None and event not in self._events:
                self._events.add(event)
                self.delays_ms.append(now_ms - step.seen.time_ms)

    async def until(self, events: int) -> None:
        """Return when so many events have been seen."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while len(self.delays_ms) < events:
            assert time.monotonic() < deadline, f"{len(self.delays_ms)} of {events} events are visible"
            await asyncio.sleep(0.05)


async def run(bootstrap_servers: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        async with worker(bootstrap_servers, folder) as process:
            await _measure(bootstrap_servers, process, "warm", 2_000, WARM_UP_SECONDS)
            light, _ = await _measure(bootstrap_servers, process, "light", LIGHT, LIGHT_SECONDS)
            full, offered = await _measure(bootstrap_servers, process, "full", FULL, FULL_SECONDS)
    return Row(
        name="visible",
        unit="ms",
        ours=full,
        peers={},
        ratio=None,
        goal=f"p99 1,500 at {FULL:,} events/s, 300 at {LIGHT}",
        runs=1,
        extra={f"at {LIGHT} events/s": light, "offered_per_second": {"events": offered}},
    )


async def _measure(
    bootstrap_servers: str, process: Worker, prefix: str, rate: int, seconds: int
) -> tuple[dict[str, float], float]:
    """p50, p95 and p99 of all events in milliseconds, and how many were sent a second."""
    await orders.topics_made(bootstrap_servers, prefix)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        key, announced = orders.announcement(prefix)
        await producer.send_and_wait(SERVICES_TOPIC, json.encode(announced), key=key)
        await process.line(f"{prefix}.")
    async with _visible(bootstrap_servers) as visible:
        command = [sys.executable, "-m", "tests.bench.steady", bootstrap_servers, prefix, rate, seconds]
        sender = await asyncio.create_subprocess_exec(*map(str, command), stdout=PIPE, env=os.environ)
        told, _ = await sender.communicate()
        sent, took_ms = map(int, told.split())
        await visible.until(sent)
        cuts = quantiles(visible.delays_ms, n=100, method="inclusive")
        return {f"p{percent}": round(cuts[percent - 1], 1) for percent in (50, 95, 99)}, sent / took_ms * 1000


@asynccontextmanager
async def _visible(bootstrap_servers: str) -> AsyncIterator[Visible]:
    """A reader of the saga table, from its end on."""
    counts = await partition_counts(
        KafkaSettings(bootstrap_servers=bootstrap_servers), [SAGAS_CHANGELOG_TOPIC]
    )
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, max_partition_fetch_bytes=4_000_000
    ) as consumer:
        partitions = [TopicPartition(SAGAS_CHANGELOG_TOPIC, n) for n in range(counts[SAGAS_CHANGELOG_TOPIC])]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        visible = Visible(consumer)
        reading = asyncio.create_task(visible.read())
        try:
            yield visible
        finally:
            reading.cancel()
