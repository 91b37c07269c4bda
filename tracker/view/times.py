"""How far in time everything has been read, by the newest frames and the newest clock; from outside."""

from collections.abc import Collection
from typing import NamedTuple

from msgspec import DecodeError

from saga.runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    TopicPartition,
    partition_counts,
    reader,
    records_before,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.clock import CLOCK_ROW, PartitionClock
from tracker.core.frame import STEPS_TOPIC, Frame, decode_frame
from tracker.core.health import told_watermarks
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.core.watermark import Source

_FRAMES = 40
_FRAMES_PER_MEMBER = 8
_ROWS_FIRST, _ROWS_MAX = 1_000, 64_000
"""So many rows from the end of a partition the clock is looked for: it is written once a second."""


class Times(NamedTuple):
    """Watermarks of the sources by the newest frames, those that the clock leaves out, and when the table
    was written last, milliseconds since the epoch, None if never.
    """

    watermarks: dict[Source, int]
    gone: frozenset[Source]
    written_ms: int | None


async def read_times(settings: KafkaSettings, members: int) -> Times:
    """What stands at the ends of `saga.steps` and of the changelog; `members` is the number of collectors."""
    async with reader(settings, max_partition_fetch_bytes=4_000_000) as consumer:
        counts = await partition_counts(settings, [STEPS_TOPIC, SAGAS_CHANGELOG_TOPIC])
        frames = await _frames(consumer, counts.get(STEPS_TOPIC, 0), _FRAMES + _FRAMES_PER_MEMBER * members)
        rows = [TopicPartition(SAGAS_CHANGELOG_TOPIC, n) for n in range(counts.get(SAGAS_CHANGELOG_TOPIC, 0))]
        newest = await _tail(consumer, rows, 1)
        written_ms = max((record.timestamp for record in newest), default=None)
        return Times(told_watermarks(frames), await _gone(consumer, rows), written_ms)


async def _frames(consumer: AIOKafkaConsumer, partitions: int, count: int) -> list[Frame]:
    # Every collector sends frames to all partitions: those of one tell as much as those of all.
    frames = []
    for record in await _tail(consumer, [TopicPartition(STEPS_TOPIC, 0)] if partitions else [], count):
        try:
            frames.append(decode_frame(record.value or b""))
        except (DecodeError, UnicodeDecodeError):
            continue  # the tracker counts it
    return frames


async def _gone(consumer: AIOKafkaConsumer, rows: Collection[TopicPartition]) -> frozenset[Source]:
    for partition in list(rows)[:1]:  # all clocks see the same sources
        count = _ROWS_FIRST
        while count <= _ROWS_MAX:
            found = await _tail(consumer, [partition], count)
            for record in reversed(found):
                if record.key == CLOCK_ROW.encode() and record.value is not None:
                    try:
                        return frozenset(PartitionClock(1, record.value).gone)
                    except (DecodeError, UnicodeDecodeError):
                        return frozenset()
            if len(found) < count:
                break
            count *= 8
    return frozenset()


async def _tail(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition], count: int
) -> "list[ConsumerRecord[bytes, bytes]]":
    """The records at the last `count` offsets of each partition, in the order of their partition."""
    if not partitions:
        return []
    begins = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, max(begins[partition], ends[partition] - count))
    return [record async for _, records in records_before(consumer, ends) for record in records]
