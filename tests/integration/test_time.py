"""Deadlines on a real Kafka: an outage raises no false breach, and a crash tells nothing twice or never."""

import asyncio
import os
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from msgspec import json

from saga.core.envelope import Envelope, read_envelope
from saga.core.receipt import SERVICES_TOPIC
from saga.local import LocalKafka
from saga.runtime.kafka import Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.integration.processes import Process, tracker_process
from tests.integration.tracker_load import read, table
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

HOUR_MS = 3_600_000
SETTLE_SECONDS = 60
ORDERS, SHIPPING = "orders", "shipping"
FLOW = """
flow: order
version: 1
begins: order.placed
ends: {{completed: parcel.dispatched}}
sla:
  - {{name: on-time, within: {within}}}
"""


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("SAGA_TEST_SEED") or random.randrange(1_000_000))


class Shop:
    """Publishes orders and parcels, at whatever time it is told, and reads what the tracker says of them."""

    def __init__(self, bootstrap_servers: str, producer: AIOKafkaProducer) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._producer = producer

    async def place(self, saga: str, at_ms: int) -> None:
        await self._publish(ORDERS, Envelope(f"{saga}/placed", "order.placed", "shop", saga, at_ms))

    async def dispatch(self, saga: str, at_ms: int) -> None:
        cause = f"{saga}/placed"
        event = Envelope(f"{saga}/done", "parcel.dispatched", "shop", saga, at_ms, cause)
        await self._publish(SHIPPING, event)

    async def _publish(self, topic: str, event: Envelope) -> None:
        await self._producer.send(
            topic, b"{}", event.saga.encode(), headers=event.headers(), timestamp_ms=event.time_ms
        )

    async def told(self, stage: str) -> dict[str, list[str]]:
        """By saga the ids of the lifecycle events of this stage, those that repeat as often as they do."""
        found: dict[str, list[str]] = defaultdict(list)
        for record in await read(self.bootstrap_servers, "saga.lifecycle"):
            envelope = read_envelope(record.headers, record_time_ms=0)
            if envelope.type == f"saga.{stage}":
                found[envelope.saga].append(envelope.id)
        return found

    async def until_told(self, stage: str, sagas: set[str], seconds: float = SETTLE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while missing := sagas - (await self.told(stage)).keys():
            assert time.monotonic() < deadline, f"{len(missing)} are not {stage}, such as {min(missing)}"
            await asyncio.sleep(0.2)


@asynccontextmanager
async def opened(broker: LocalKafka) -> AsyncIterator[Shop]:
    topics = [Topic(ORDERS, 3), Topic(SHIPPING, 3), Topic(SERVICES_TOPIC, 1, {"cleanup.policy": "compact"})]
    await ensure_topics(KafkaSettings(bootstrap_servers=broker.bootstrap_servers), topics)
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, enable_idempotence=True, linger_ms=5
    ) as producer:
        parts = [{"type": "any", "topic": topic, "handler": ""} for topic in (ORDERS, SHIPPING)]
        announcement = {"service": "shop", "subscribes": [], "publishes": parts}
        await producer.send_and_wait(SERVICES_TOPIC, json.encode(announcement), b"shop")
        yield Shop(broker.bootstrap_servers, producer)
        await producer.flush()


class Tracker:
    """A tracker process that follows one flow."""

    def __init__(self, broker: LocalKafka, folder: Path, within: str, number: int = 0) -> None:
        flows = folder / "flows"
        flows.mkdir(exist_ok=True)
        (flows / "order.yaml").write_text(FLOW.format(within=within))
        self.process = tracker_process(
            broker.bootstrap_servers, folder, f"-{number}", SAGA_FLOWS_DIR=str(flows)
        )

    def __enter__(self) -> "Process":
        self.process.start()
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.end()
        print(f"--- tracker\n{self.process.output()[-20_000:]}")


async def test_a_backlog_of_an_hour_is_judged_by_its_own_time(broker: LocalKafka, tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    sagas = [f"s-{number}" for number in range(400)]
    finished, unfinished = set(sagas[::2]), set(sagas[1::2])
    async with opened(broker) as shop:
        for number, saga in enumerate(sagas):
            await shop.place(saga, now_ms - HOUR_MS + 10 * number)
        for number, saga in enumerate(sagas[::2]):
            await shop.dispatch(saga, now_ms - HOUR_MS // 2 + 10 * number)
        with Tracker(broker, tmp_path, within="45m"):
            await shop.until_told("breached", unfinished)
            await shop.until_told("completed", finished)
        breached = await shop.told("breached")

    assert set(breached) == unfinished
    assert {len(ids) for ids in breached.values()} == {1}


async def test_who_finishes_while_the_tracker_is_down_is_not_breached(
    broker: LocalKafka, tmp_path: Path
) -> None:
    sagas = [f"s-{number}" for number in range(400)]
    finished, unfinished = set(sagas[::2]), set(sagas[1::2])
    async with opened(broker) as shop:
        with Tracker(broker, tmp_path, within="6s") as tracker:
            await asyncio.to_thread(until, lambda: "shipping" in tracker.output(), 30)
            await asyncio.sleep(3)  # its clock has been written, with all sources
            for saga in sagas:
                await shop.place(saga, time.time_ns() // 1_000_000)
            await shop.until_told("started", set(sagas), 5)
            tracker.kill()
            for saga in sorted(finished):
                await shop.dispatch(saga, time.time_ns() // 1_000_000)
            await asyncio.sleep(8)  # the outage outlasts the deadlines
            assert not await shop.told("breached")
            tracker.start()
            await shop.until_told("breached", unfinished, 20)
            await shop.until_told("completed", finished, 5)
        breached = await shop.told("breached")

    assert set(breached) == unfinished


async def test_kills_tell_each_breach_at_least_once_and_always_under_one_id(
    broker: LocalKafka, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    sagas = [f"s-{number}" for number in range(3_000)]
    async with opened(broker) as shop:

        async def place_all() -> None:
            for number, saga in enumerate(sagas):
                await shop.place(saga, time.time_ns() // 1_000_000)
                if number % 20 == 19:
                    await asyncio.sleep(0.2)

        with Tracker(broker, tmp_path, within="1s") as tracker:
            placing = asyncio.create_task(place_all())
            for _ in range(8):
                await asyncio.sleep(chance.uniform(1.5, 4))  # when it is killed is what this is about
                tracker.kill()
                tracker.start()
            await placing
            await shop.until_told("breached", set(sagas))
        breached = await shop.told("breached")

    print(f"seed {seed}: {sum(len(ids) for ids in breached.values()) - len(sagas)} breaches were told again")
    assert {len(set(ids)) for ids in breached.values()} == {1}


async def test_two_trackers_share_time(broker: LocalKafka, tmp_path: Path) -> None:
    """Each reads a part of the sources: neither judges by its own alone."""
    sagas = [f"s-{number}" for number in range(600)]
    async with opened(broker) as shop:
        first, second = (Tracker(broker, tmp_path, within="2s", number=number) for number in range(2))
        with first, second:
            await asyncio.to_thread(until, lambda: "shipping" in second.process.output(), 30)
            for number, saga in enumerate(sagas):
                now_ms = time.time_ns() // 1_000_000
                await shop.place(saga, now_ms)
                await shop.dispatch(saga, now_ms + 1)
                if number % 20 == 19:
                    await asyncio.sleep(0.2)
                if number == len(sagas) // 2:
                    second.process.kill()
            await shop.until_told("completed", set(sagas))
            await asyncio.sleep(3)
        assert not await shop.told("breached")
        assert set(await table(shop.bootstrap_servers)) == set(sagas)
