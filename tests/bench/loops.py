"""The hop written by hand against aiokafka, as well as it can be without becoming a framework."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from tests.bench.contest import Heat, Stopwatch
from tests.bench.sample import SampleOrder, reserve

Taken = Mapping[TopicPartition, list[ConsumerRecord]]
Put = Callable[[AIOKafkaProducer, str, Taken], Awaitable[list[Any]]]

RECORDS_MAX = 1000
BATCH_BYTES_MAX = 512 * 1024
_REQUEST_BYTES_MAX = 16 * 1024 * 1024


async def transactional_send(heat: Heat) -> float:
    """One transaction a micro-batch, one `send` a record."""
    return await _transactional(heat, _put_each)


async def transactional_batches(heat: Heat) -> float:
    """One transaction a micro-batch, one `send_batch` a partition."""
    return await _transactional(heat, _put_batches)


async def at_least_once(heat: Heat) -> float:
    """Outputs first, offsets after they are delivered."""
    watch = Stopwatch(heat.records)
    async with _clients(heat, enable_idempotence=True) as (consumer, producer):
        while not watch.finished.is_set():
            taken = await consumer.getmany(timeout_ms=500, max_records=RECORDS_MAX)
            if not taken:
                continue
            watch.polled()
            for written in await _put_each(producer, heat.target, taken):
                await written
            await consumer.commit(_offsets(taken))
            watch.committed(sum(map(len, taken.values())))
    return watch.seconds


async def _transactional(heat: Heat, put: Put) -> float:
    watch = Stopwatch(heat.records)
    async with _clients(heat, transactional_id=heat.group) as (consumer, producer):
        while not watch.finished.is_set():
            taken = await consumer.getmany(timeout_ms=500, max_records=RECORDS_MAX)
            if not taken:
                continue
            watch.polled()
            async with producer.transaction():
                await put(producer, heat.target, taken)
                await producer.send_offsets_to_transaction(_offsets(taken), heat.group)
            watch.committed(sum(map(len, taken.values())))
    return watch.seconds


async def _put_each(producer: AIOKafkaProducer, topic: str, taken: Taken) -> list[Any]:
    return [
        await producer.send(topic, value, key=record.key, headers=headers)
        for records in taken.values()
        for record in records
        for value, headers in [_handled(record)]
    ]


async def _put_batches(producer: AIOKafkaProducer, topic: str, taken: Taken) -> list[Any]:
    """The key stays the same, and so does the partition: nobody has to hash it."""
    sent = []
    for partition, records in taken.items():
        batch = producer.create_batch()
        for record in records:
            value, headers = _handled(record)
            if batch.append(timestamp=None, key=record.key, value=value, headers=headers) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition.partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=record.key, value=value, headers=headers)
        sent.append(await producer.send_batch(batch, topic, partition=partition.partition))
    return sent


def _handled(record: ConsumerRecord) -> tuple[bytes, list[tuple[str, bytes]]]:
    reserved = reserve(SampleOrder.model_validate_json(record.value))
    return reserved.model_dump_json().encode(), caused_headers(dict(record.headers))


def caused_headers(cause: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """The nine headers of an event that the event with these headers has caused."""
    return [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", str(uuid.uuid4()).encode()),
        ("ce_source", b"inventory"),
        ("ce_type", b"bench.stock.reserved"),
        ("ce_time", datetime.now(UTC).isoformat(timespec="milliseconds").encode()),
        ("ce_correlationid", cause["ce_correlationid"]),
        ("ce_causationid", cause["ce_id"]),
        ("traceparent", cause["traceparent"]),
    ]


def _offsets(taken: Taken) -> dict[TopicPartition, int]:
    return {partition: records[-1].offset + 1 for partition, records in taken.items()}


@asynccontextmanager
async def _clients(heat: Heat, **options: Any) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaProducer]]:
    consumer = AIOKafkaConsumer(
        heat.source,
        bootstrap_servers=heat.bootstrap_servers,
        group_id=heat.group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=heat.bootstrap_servers,
        max_batch_size=BATCH_BYTES_MAX,
        max_request_size=_REQUEST_BYTES_MAX,
        **options,
    )
    async with producer, consumer:
        yield consumer, producer
