"""Read one record of Kafka by its place."""

import asyncio
import re
from collections.abc import Sequence
from typing import NamedTuple

from saga.core.errors import KafkaUnavailable, SagaError
from saga.runtime.kafka import TopicPartition, partition_counts, reader, records_before
from saga.runtime.settings import KafkaSettings

WAIT_SECONDS = 10.0

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-")


class Payload(NamedTuple):
    """The value of a record, None if it has none; `trace` is the id of its W3C trace context, "" without."""

    value: bytes | None
    trace: str


class RecordGone(SagaError):
    """Kafka does not have this record any more, or never had."""


async def read_payload(settings: KafkaSettings, topic: str, partition: int, offset: int) -> Payload:
    """What the record has that stands there.

    Raises
    ------
    RecordGone
        None does: the topic has dropped it, or it was compacted away.
    KafkaUnavailable
        Kafka gives nothing within `WAIT_SECONDS`.
    """
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            return await _read(settings, TopicPartition(topic, partition), offset)
    except TimeoutError as error:
        raise KafkaUnavailable(f"Kafka gave no record within {WAIT_SECONDS:g} s: try again later") from error


async def _read(settings: KafkaSettings, place: TopicPartition, offset: int) -> Payload:
    counts = await partition_counts(settings, [place.topic])
    if place.partition < counts.get(place.topic, 0):
        async with reader(settings) as consumer:
            consumer.assign([place])
            begins, ends = await consumer.beginning_offsets([place]), await consumer.end_offsets([place])
            if begins[place] <= offset < ends[place]:
                consumer.seek(place, offset)
                async for _, records in records_before(consumer, {place: offset + 1}):
                    for record in records:
                        if record.offset == offset:
                            return Payload(record.value, _trace(record.headers))
    raise RecordGone(
        f"{place.topic}-{place.partition} has no record {offset} any more: retention or compaction took it"
    )


def _trace(headers: Sequence[tuple[str, bytes]]) -> str:
    found = _TRACEPARENT.match(dict(headers).get("traceparent") or b"")
    return "" if found is None else found[1].decode()
