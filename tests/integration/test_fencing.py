"""Transactions of the fenced producer: whatever comes in whatever order, each ends."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator

import pytest

from saga.runtime.fencing import FencedProducer, membership, stable_offsets
from saga.runtime.kafka import AIOKafkaConsumer, OffsetAndMetadata, Topic, TopicPartition, ensure_topics
from saga.runtime.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

TRANSACTIONS = 200
PARTITIONS = 4


@pytest.fixture
async def source(bootstrap_servers: str) -> TopicPartition:
    """Of a topic that is new, as another is that is named like it: `target_of`."""
    source = TopicPartition(f"fencing-{uuid.uuid4().hex[:8]}", 0)
    await ensure_topics(
        KafkaSettings(bootstrap_servers=bootstrap_servers),
        [Topic(source.topic, partitions=1), Topic(target_of(source), partitions=PARTITIONS)],
    )
    return source


@pytest.fixture
async def consumer(bootstrap_servers: str, source: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
    async with AIOKafkaConsumer(
        source.topic, bootstrap_servers=bootstrap_servers, group_id=source.topic
    ) as consumer:
        yield consumer


@pytest.fixture
async def producer(bootstrap_servers: str, source: TopicPartition) -> AsyncIterator[FencedProducer]:
    producer = FencedProducer(bootstrap_servers=bootstrap_servers, transactional_id=source.topic)
    await producer.start()
    yield producer
    await producer.stop()


def target_of(source: TopicPartition) -> str:
    return f"{source.topic}-out"


async def send(producer: FencedProducer, source: TopicPartition, partition: int) -> asyncio.Future[None]:
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=b"x", headers=[])
    sent: asyncio.Future[None] = await producer.send_batch(batch, target_of(source), partition=partition)
    return sent


async def test_a_partition_that_joins_a_transaction_late_never_stops_it(
    source: TopicPartition, consumer: AIOKafkaConsumer, producer: FencedProducer
) -> None:
    chance = random.Random(3)
    for number in range(TRANSACTIONS):
        await producer.begin_transaction()
        offsets = {source: OffsetAndMetadata(number, "")}
        member = membership(consumer, source.topic)
        sent: list[asyncio.Future[None]] = [asyncio.ensure_future(producer.send_offsets(offsets, member))]
        for partition in range(PARTITIONS):
            sent.append(await send(producer, source, partition))
            # The offsets' request goes out in between, now before and now behind these.
            for _ in range(chance.randint(0, 60)):
                await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await asyncio.gather(*sent)
        await producer.commit_transaction()


@pytest.mark.parametrize("delay", [0, 0.001, 0.005, 0.02])
async def test_who_stops_waiting_for_offsets_can_abort_and_begin_again(
    source: TopicPartition, consumer: AIOKafkaConsumer, producer: FencedProducer, delay: float
) -> None:
    member = membership(consumer, source.topic)
    async with asyncio.timeout(20):
        for ends in (producer.abort_transaction, producer.commit_transaction):
            await producer.begin_transaction()
            adding = asyncio.ensure_future(producer.send_offsets({source: OffsetAndMetadata(7, "")}, member))
            sent = await send(producer, source, 0)
            await asyncio.sleep(delay)
            if ends == producer.abort_transaction:
                adding.cancel()
            else:
                await adding
            await sent
            await ends()
        offsets = await stable_offsets(consumer, source.topic, [source])
    assert offsets[source].offset == 7
