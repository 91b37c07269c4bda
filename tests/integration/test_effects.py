"""Effects on a real Kafka: delivered or refused, and one that is refused holds up no other."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from msgspec import json

from saga.core.envelope import read_envelope
from saga.runtime.kafka import Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.facts import NOON_MS
from tests.integration.tracker_load import read
from tracker.core.effect import ALERTS_TOPIC, LIFECYCLE_TOPIC, Alert, Lifecycle, Publish
from tracker.runtime.effects import RECORD_BYTES_MAX, Effects

pytestmark = pytest.mark.kafka

SMALL_BYTES = 2_000
MANY = 20_000


@pytest.fixture
def settings(bootstrap_servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers)


@pytest.fixture
async def effects(settings: KafkaSettings) -> AsyncIterator[Effects]:
    async with Effects(settings) as effects:
        yield effects


@pytest.fixture
def topic() -> str:
    return f"stock-{uuid4()}"


def undo(topic: str, number: int, size: int = 10) -> Publish:
    data = json.encode({"text": "x" * size})
    return Publish(
        f"{topic}/{number}", f"s-{number}", topic, "stock.release", "e-1", "one-key", data, NOON_MS
    )


async def ids(settings: KafkaSettings, topic: str) -> list[str]:
    """The events on a topic, in their order."""
    records = await read(settings.bootstrap_servers, topic)
    return [read_envelope(record.headers, record_time_ms=0).id for record in records]


async def alerts(settings: KafkaSettings, topic: str) -> list[Alert]:
    """Those about effects that could not be delivered to this topic."""
    records = await read(settings.bootstrap_servers, ALERTS_TOPIC)
    found = [json.decode(record.value or b"", type=Alert) for record in records]
    return [alert for alert in found if topic in alert.message]


async def test_effects_are_delivered_in_their_order_and_missing_topics_made(
    effects: Effects, settings: KafkaSettings, topic: str
) -> None:
    sent = [undo(topic, number) for number in range(100)]
    await effects.send(sent)

    assert await ids(settings, topic) == [effect.id for effect in sent]


async def test_nothing_to_send_is_no_obstacle(effects: Effects) -> None:
    await effects.send([])


async def test_one_that_is_too_large_is_alerted_and_holds_up_no_other(
    effects: Effects, settings: KafkaSettings, topic: str
) -> None:
    await effects.send([undo(topic, 1), undo(topic, 2, RECORD_BYTES_MAX), undo(topic, 3)])

    assert await ids(settings, topic) == [f"{topic}/1", f"{topic}/3"]
    [alert] = await alerts(settings, topic)
    assert (alert.cause, alert.saga, alert.event) == ("undeliverable", "s-2", f"{topic}/2")
    assert effects.refused == {(topic, "Publish"): 1}


async def test_what_kafka_refuses_is_alerted_and_holds_up_no_other(
    effects: Effects, settings: KafkaSettings, topic: str
) -> None:
    """The topic takes small records only: neither the large ones nor all in one batch."""
    await ensure_topics(settings, [Topic(topic, 1, {"max.message.bytes": str(SMALL_BYTES)})])
    sizes = [2 * SMALL_BYTES if number in (7, 30, 31) else 100 for number in range(50)]
    await effects.send([undo(topic, number, size) for number, size in enumerate(sizes)])
    await effects.send([undo(topic, 50), undo(f"{topic}-other", 51)])

    expected = [f"{topic}/{number}" for number in range(51) if number not in (7, 30, 31)]
    assert await ids(settings, topic) == expected
    assert sorted(alert.event for alert in await alerts(settings, topic)) == [
        f"{topic}/{number}" for number in (30, 31, 7)
    ]
    assert await ids(settings, f"{topic}-other") == [f"{topic}-other/51"]


async def test_a_topic_that_there_can_not_be_is_alerted_and_holds_up_no_other(
    effects: Effects, settings: KafkaSettings, topic: str
) -> None:
    wrong = f"no such topic {topic}"
    for _ in range(2):
        await effects.send([undo(wrong, 1), undo(topic, 2)])

    assert await ids(settings, topic) == [f"{topic}/2"] * 2
    first, again = await alerts(settings, wrong)
    assert first == again
    assert effects.refused == {(wrong, "Publish"): 2}


async def test_what_is_told_of_many_sagas_at_once_is_cheap(effects: Effects, settings: KafkaSettings) -> None:
    run = uuid4()
    told = [
        Lifecycle(f"{run}-{number}", f"{run}-{number}", "o-1", "order", 1, "breached", NOON_MS, "on-time")
        for number in range(MANY)
    ]
    await effects.send(told[:100])
    begun = time.process_time()
    await effects.send(told)
    assert time.process_time() - begun < 3  # some 0.2 s on a machine that has nothing else to do
    assert set(await ids(settings, LIFECYCLE_TOPIC)) >= {effect.id for effect in told}


async def test_a_topic_that_takes_nothing_now_holds_up_no_other(
    effects: Effects, settings: KafkaSettings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster of one broker has no partition without a leader: so the client hangs as it would there."""
    other = f"{topic}-other"
    send_batch = AIOKafkaProducer.send_batch

    async def hanging(producer: AIOKafkaProducer, batch: object, name: str, *, partition: int) -> object:
        if name == topic:
            await asyncio.sleep(60)
        return await send_batch(producer, batch, name, partition=partition)

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", hanging)

    await effects.send([undo(topic, 1), undo(other, 2)])
    began = time.monotonic()
    await effects.send([undo(topic, 3), undo(other, 4)])

    assert time.monotonic() - began < 4, "the topic was asked again at once"
    assert await ids(settings, other) == [f"{other}/2", f"{other}/4"]
    assert {alert.saga for alert in await alerts(settings, f"{topic}:")} == {"s-1", "s-3"}
