"""Transactions of the fenced producer: whatever comes in whatever order, each ends."""

import asyncio
import random
import uuid

import pytest

from saga.runtime.fencing import FencedProducer, membership
from saga.runtime.kafka import AIOKafkaConsumer, OffsetAndMetadata, Topic, TopicPartition, ensure_topics
from saga.runtime.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

TRANSACTIONS = 200
PARTITIONS = 4


async def test_a_partition_that_joins_a_transaction_late_never_stops_it(bootstrap_servers: str) -> None:
    name = f"fencing-{uuid.uuid4().hex[:8]}"
    source, target = TopicPartition(f"{name}-in", 0), f"{name}-out"
    await ensure_topics(
        KafkaSettings(bootstrap_servers=bootstrap_servers),
        [Topic(source.topic, partitions=1), Topic(target, partitions=PARTITIONS)],
    )
    consumer = AIOKafkaConsumer(source.topic, bootstrap_servers=bootstrap_servers, group_id=name)
    producer = FencedProducer(bootstrap_servers=bootstrap_servers, transactional_id=name)
    await consumer.start()
    await producer.start()
    try:
        chance = random.Random(3)
        for number in range(TRANSACTIONS):
            await producer.begin_transaction()
            offsets = {source: OffsetAndMetadata(number, "")}
            sent = [asyncio.ensure_future(producer.send_offsets(offsets, membership(consumer, name)))]
            for partition in range(PARTITIONS):
                batch = producer.create_batch()
                batch.append(timestamp=None, key=None, value=b"x", headers=[])
                sent.append(await producer.send_batch(batch, target, partition=partition))
                # The offsets' request goes out in between, now before and now behind these.
                for _ in range(chance.randint(0, 60)):
                    await asyncio.sleep(0)
            async with asyncio.timeout(20):
                await asyncio.gather(*sent)
            await producer.commit_transaction()
    finally:
        await producer.stop()
        await consumer.stop()
