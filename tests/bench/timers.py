"""Deadlines that all come due in the same second, and how soon each has been told."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import json

from saga.runtime.kafka import AIOKafkaConsumer, AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.bench import orders
from tests.bench.row import Row
from tests.bench.tracker import worker
from tracker.core.effect import LIFECYCLE_TOPIC

DEADLINES = 100_000
WITHIN_SECONDS = 25
SPREAD_MS = 1_000
PATIENCE_SECONDS = 30

FLOW = f"""
flow: order
version: 1
begins: order.placed
ends: {{completed: order.closed}}
sla:
  - {{name: in-time, within: {WITHIN_SECONDS}s}}
"""


async def run(bootstrap_servers: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        flows = Path(folder, "flows")
        flows.mkdir()
        (flows / "order.yaml").write_text(FLOW)
        async with (
            worker(bootstrap_servers, folder, SAGA_FLOWS_DIR=str(flows)) as process,
            AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer,
        ):
            key, announced = orders.announcement("timers")
            await orders.topics_made(bootstrap_servers, "timers")
            await producer.send_and_wait(orders.SERVICES_TOPIC, json.encode(announced), key=key)
            await process.line("timers.")
            began_ms = time.time_ns() // 1_000_000
            async with _breaches(bootstrap_servers) as breaches:
                await orders.publish(
                    bootstrap_servers, "timers", DEADLINES, 1, begun_ms=began_ms, spread_ms=SPREAD_MS
                )
                last_due = began_ms / 1000 + SPREAD_MS / 1000 + WITHIN_SECONDS
                assert time.time() < last_due, "the orders took longer to publish than their deadlines"
                last_told = await breaches.last(DEADLINES)
    return Row(
        name="timers",
        unit="s",
        ours=round(last_told - last_due, 2),
        peers={},
        ratio=None,
        goal="100,000 deadlines due in one second told within 3 s",
        runs=1,
        extra={"deadlines": DEADLINES},
    )


class Breaches:
    """Counts what is told on `saga.lifecycle`, each saga once."""

    def __init__(self) -> None:
        self._sagas: set[bytes] = set()
        self._last = 0.0

    def take(self, saga: bytes, event_type: bytes) -> None:
        if event_type == b"saga.breached" and saga not in self._sagas:
            self._sagas.add(saga)
            self._last = time.time()

    async def last(self, count: int) -> float:
        """When the last of so many was seen, in seconds since the epoch."""
        deadline = time.monotonic() + WITHIN_SECONDS + PATIENCE_SECONDS
        while len(self._sagas) < count:
            assert time.monotonic() < deadline, f"{len(self._sagas)} of {count} breaches told"
            await asyncio.sleep(0.01)
        return self._last


@asynccontextmanager
async def _breaches(bootstrap_servers: str) -> AsyncIterator[Breaches]:
    breaches = Breaches()
    await ensure_topics(KafkaSettings(bootstrap_servers=bootstrap_servers), [Topic(LIFECYCLE_TOPIC)])
    async with AIOKafkaConsumer(
        LIFECYCLE_TOPIC, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        reading = asyncio.create_task(_read(consumer, breaches))
        try:
            yield breaches
        finally:
            reading.cancel()


async def _read(consumer: AIOKafkaConsumer, breaches: Breaches) -> None:
    while True:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for record in records:
                breaches.take(record.key, dict(record.headers)["ce_type"])
