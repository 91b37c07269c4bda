"""The lag of the tracker's groups, by Kafka's word: whoever asks need not be a tracker."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType

from saga.core.receipt import RECEIPTS_TOPIC
from saga.runtime.group import Group, committed_offsets, describe_groups
from saga.runtime.kafka import AIOKafkaConsumer, TopicPartition, partition_counts, reader
from saga.runtime.settings import KafkaSettings
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.frame import STEPS_TOPIC
from tracker.core.health import Ends
from tracker.core.lag import CAUGHT_UP, COLLECTOR_GROUP, SourceLag
from tracker.core.saga import TRACKER_GROUP
from tracker.core.watermark import Source

_PROBED_MAX = 32
"""Partitions of a group of which the oldest unread record is looked at: those with most of them."""

_PROBE_SECONDS_MAX = 2.0
_PROBE_POLL_MS = 200


class Lags:
    """Asks Kafka what the groups have not read. To be entered before use.

    `consumer` is in no group and may be asked by others in between.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._entered = AsyncExitStack()
        self._void: dict[TopicPartition, tuple[int, int]] = {}

    async def __aenter__(self) -> "Lags":
        self.consumer: AIOKafkaConsumer = await self._entered.enter_async_context(
            reader(
                self._settings,
                isolation_level="read_committed",  # as collectors read: what is not committed does not wait
                fetch_max_bytes=4 * 1024 * 1024,
            )
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered.aclose()

    async def of_collectors(self, now_ms: int) -> dict[Source, SourceLag]:
        """Of each partition of the topics that collectors read."""
        return await self._of(COLLECTOR_GROUP, {RECEIPTS_TOPIC, COMMANDS_TOPIC}, now_ms)

    async def of_trackers(self, now_ms: int) -> dict[Source, SourceLag]:
        """Of each partition of `saga.steps`."""
        return await self._of(TRACKER_GROUP, {STEPS_TOPIC}, now_ms)

    async def groups(self) -> list[Group]:
        """Collectors and trackers as consumer groups."""
        return await describe_groups(self._settings, [COLLECTOR_GROUP, TRACKER_GROUP])

    async def ends(self, sources: Iterable[Source]) -> dict[Source, Ends]:
        """Where these partitions end, for those who read committed records and for all."""
        partitions = [TopicPartition(*source) for source in sources]
        if not partitions:
            return {}
        stable = await self.consumer.end_offsets(partitions)
        async with reader(self._settings) as all_reading:
            ends = await all_reading.end_offsets(partitions)
        return {
            (partition.topic, partition.partition): Ends(stable[partition], ends[partition])
            for partition in partitions
        }

    async def _of(self, name: str, always: Collection[str], now_ms: int) -> dict[Source, SourceLag]:
        committed = await committed_offsets(self._settings, name)
        [group] = await describe_groups(self._settings, [name])
        # A topic that a group gave up keeps its offsets for days: what the members read now counts.
        read = group.topics or {partition.topic for partition in committed}
        counts = await partition_counts(self._settings, {*read, *always})
        partitions = [
            TopicPartition(topic, number) for topic in sorted(counts) for number in range(counts[topic])
        ]
        begins = await self.consumer.beginning_offsets(partitions)
        ends = await self.consumer.end_offsets(partitions)
        positions = {
            partition: max(begins[partition], committed.get(partition, 0)) for partition in partitions
        }
        waiting = {
            partition: records
            for partition in partitions
            if (records := ends[partition] - positions[partition]) > 0
            and self._void.get(partition) != (positions[partition], ends[partition])
        }
        oldest = await self._oldest(waiting, positions, ends)
        longest_ms = min(oldest.values(), default=now_ms)
        return {
            (partition.topic, partition.partition): CAUGHT_UP
            if partition not in waiting or partition in self._void
            else SourceLag(waiting[partition], max(0, now_ms - oldest.get(partition, longest_ms)) / 1000)
            for partition in partitions
        }

    async def _oldest(
        self,
        waiting: Mapping[TopicPartition, int],
        positions: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        """When the oldest unread record was written, of those partitions that have the most of them.

        What is left of a transaction is no record, though it has an offset: where there is nothing else
        is remembered in `_void`, with the offsets between which that is so.
        """
        for partition in waiting:
            self._void.pop(partition, None)
        found: dict[TopicPartition, int] = {}
        left = set(sorted(waiting, key=lambda partition: waiting[partition], reverse=True)[:_PROBED_MAX])
        if not left:
            return found
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PROBE_SECONDS_MAX
        consumer = self.consumer
        consumer.assign(left)
        for partition in left:
            consumer.seek(partition, positions[partition])
        while left and loop.time() < deadline:
            # One record at a time: what lies behind it is megabytes, and would all be unpacked.
            polled = await consumer.getmany(*left, timeout_ms=_PROBE_POLL_MS, max_records=1)
            for partition, records in polled.items():
                found[partition] = records[0].timestamp
                left.discard(partition)
                consumer.pause(partition)
            for partition in list(left):
                if await consumer.position(partition) >= ends[partition]:
                    self._void[partition] = positions[partition], ends[partition]
                    left.discard(partition)
        consumer.assign([])  # and not unsubscribe(), at which the fetcher of aiokafka may end
        return found
