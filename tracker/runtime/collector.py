"""The collector: business topics, receipts and commands in, frames on `saga.steps` out.

At least once: offsets are committed after the frames are delivered, and the fold of the tracker
makes nothing of a fact told twice.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiokafka.errors import CommitFailedError, IllegalStateError

from saga.core.receipt import RECEIPTS_TOPIC
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRecord,
    TopicPartition,
    connection,
    started,
)
from tracker.core.collect import (
    PAYLOAD_BYTES_MAX,
    TOO_LARGE,
    Payloads,
    SagaFacts,
    collect_commands,
    collect_events,
    collect_receipts,
)
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.frame import STEPS_TOPIC, Read, topic_of
from tracker.core.lag import COLLECTOR_GROUP, SourceLag
from tracker.core.pack import FrameLimits, by_partition, pack
from tracker.core.watermark import Polls, Reading, Source, Watermarks
from tracker.runtime.announcements import Announcements
from tracker.runtime.figures import Figures
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.subscription import SourceSubscription
from tracker.runtime.supervision import unless_stopped

logger = logging.getLogger(__name__)

_POLLS_MAX = 4
_MORE_WITHIN_MS = 20

Delivery = asyncio.Future[Any]
Batches = Mapping[TopicPartition, list["ConsumerRecord[bytes, bytes]"]]


def source_consumer(settings: TrackerSettings) -> AIOKafkaConsumer:
    """The consumer that a collector reads with; to be started by it."""
    return AIOKafkaConsumer(
        **connection(settings),
        group_id=COLLECTOR_GROUP,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=min(1000, settings.session_timeout_ms // 3),
        fetch_max_bytes=4 * 1024 * 1024,  # what is read while the last answer is worked on
        # What waits of each partition while others are read: of a thousand that are far behind 256 MB.
        max_partition_fetch_bytes=256 * 1024,
        # Light load: Kafka waits for more records instead of waking us for each, which would take the
        # processor from the service that it is meant for next.
        fetch_min_bytes=64 * 1024,
        fetch_max_wait_ms=settings.collect_interval_ms,
        metadata_max_age_ms=30_000,  # partitions that were added to a topic are found by then
    )


class Collector:
    """Reads its share of the source partitions. One use only: after an error make a new one.

    `uncorrelated` counts, by topic and reason, what no saga was told about; like all `figures` it goes
    on where the collector before this one stopped.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        partitions: int,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        announcements: Announcements,
        knowledge: Knowledge,
        figures: Figures,
    ) -> None:
        self._figures = figures
        self.uncorrelated = figures.uncorrelated
        self._uncorrelated_told = self.uncorrelated.total()
        self._settings = settings
        self._partitions = partitions
        self._producer = producer
        self._knowledge = knowledge
        # A payload fills half a frame at most: what does not fit into a frame is left out altogether.
        self._payload_bytes_max = min(PAYLOAD_BYTES_MAX, settings.frame_bytes // 2)
        self._limits = FrameLimits(settings.frame_steps, settings.frame_bytes)
        self._watermarks = Watermarks(settings.watermark_delay_ms)
        self._polls = Polls()
        self._last_record_ms: dict[Source, int] = {}
        self._framed_at = [float("-inf")] * partitions
        self._lock = asyncio.Lock()
        self._rebalances = 0
        self._confirming: asyncio.Task[None] | None = None
        self._consumer = consumer
        self._sources = SourceSubscription(settings, consumer, announcements, knowledge, self._given_up)

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until told to stop; then leave the group with everything read committed.

        Raises
        ------
        KafkaError
            Kafka refuses something. What was read since the last commit will be read again.
        """
        await started(self._consumer)
        try:
            # Time must not be told before all sources are known, and no event read before it is known
            # whose payload is needed.
            await unless_stopped(stop, self._knowledge.ready())
            while not stop.is_set():
                await self._sources.refresh()
                await self._collect_once()
            await self._confirmed()
        finally:
            if self._confirming is not None:
                self._confirming.cancel()
            await self._consumer.stop()

    @property
    def ready(self) -> bool:
        """A collector collects."""
        return True

    def lags(self) -> dict[Source, SourceLag]:
        """How far each of its partitions has not been read."""
        now_ms = time.time_ns() // 1_000_000
        return {source: _lag(reading, now_ms) for source, reading in self._readings().items()}

    async def _collect_once(self) -> None:
        batches = await self._polled()
        rebalances = self._rebalances
        async with self._lock:
            if self._rebalances != rebalances:
                return  # polled before a rebalance
            deliveries = await self._frame(batches)
            self._confirming = asyncio.create_task(self._confirm(deliveries, batches))

    async def _polled(self) -> Batches:
        """What one poll gives; of several when they come one after the other, as they do when it is behind.

        The more is framed at once, the more events of a saga stand in one frame, and the tracker looks at
        a saga once a frame.
        """
        polled: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {}
        records_max = self._settings.collect_records
        timeout_ms, polls, rebalances = self._settings.idle_frame_ms // 2, 0, self._rebalances
        while True:
            batches = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=records_max)
            if self._rebalances != rebalances:
                rebalances = self._rebalances
                polled.clear()  # whoever owns the partitions now reads them again
            for source, records in batches.items():
                polled.setdefault(source, []).extend(records)
            polls += 1
            if polls == _POLLS_MAX or sum(map(len, batches.values())) < records_max // 2:
                return polled
            timeout_ms = _MORE_WITHIN_MS

    async def _frame(self, batches: Batches) -> list[Delivery]:
        facts: SagaFacts = {}
        rules = self._knowledge.rules()
        payloads = Payloads(self._knowledge.payloads(), self._payload_bytes_max)
        for (topic, partition), records in batches.items():
            if topic == RECEIPTS_TOPIC:
                collect_receipts(topic, records, facts, self.uncorrelated)
            elif topic == COMMANDS_TOPIC:
                collect_commands(topic, records, facts, self.uncorrelated)
            else:
                collect_events(topic, partition, records, facts, self.uncorrelated, payloads, rules.of(topic))
            self._last_record_ms[topic, partition] = records[-1].timestamp
            self._figures.records += len(records)
            await asyncio.sleep(0)
        if self.uncorrelated.total() != self._uncorrelated_told:
            self._uncorrelated_told = self.uncorrelated.total()
            logger.debug("told to no saga so far: %s", dict(self.uncorrelated))
        self._watermarks.advance(self._readings())
        # The sagas of its first event say where a poll is timed: any partition, by their hash.
        read = [_read(records) for records in batches.values()]
        return await self._send(by_partition(facts, self._partitions), read)

    async def _send(self, facts: Mapping[int, SagaFacts], read: list[Read]) -> list[Delivery]:
        """Send the frames of a poll. Those with watermarks go once all that they speak for is delivered.

        A frame may be given up while one that waits behind it is taken: then time would be told without
        the events of that time.
        """
        now = asyncio.get_running_loop().time()
        idle_since = now - self._settings.idle_frame_ms / 1000
        watermarks = self._watermarks.report(self._existing())
        before: list[tuple[int, bytes]] = []
        last: list[tuple[int, bytes]] = []
        timed = next(iter(facts), None)
        for partition in range(self._partitions):
            if partition in facts or (watermarks and self._framed_at[partition] <= idle_since):
                told = read if partition == timed else []
                packed = pack(facts.get(partition, {}), watermarks, self._limits, told)
                for fact in packed.refused:
                    self.uncorrelated[topic_of(fact), TOO_LARGE] += 1
                before += [(partition, frame) for frame in packed.frames[:-1]]
                last.append((partition, packed.frames[-1]))
                self._framed_at[partition] = now
        await self._confirmed()
        for delivery in [await self._sent(partition, frame) for partition, frame in before]:
            await delivery
        return [await self._sent(partition, frame) for partition, frame in last]

    async def _sent(self, partition: int, frame: bytes) -> Delivery:
        delivery: Delivery = await self._producer.send(STEPS_TOPIC, frame, partition=partition)
        return delivery

    async def _confirm(self, deliveries: list[Delivery], batches: Batches) -> None:
        """Wait for the frames, and only then commit what they were made of."""
        for delivery in deliveries:
            await delivery
        if not batches:
            return
        try:
            await self._consumer.commit(
                {source: records[-1].offset + 1 for source, records in batches.items()}
            )
        except (CommitFailedError, IllegalStateError) as error:
            logger.info("offsets of the collector are not committed, the group is rebalancing: %s", error)

    async def _confirmed(self) -> None:
        """Wait for the frames before these, and the commit of what they were made of."""
        confirming, self._confirming = self._confirming, None
        if confirming is not None:
            await confirming

    def _existing(self) -> Iterator[Source]:
        """The partitions of all topics that are collected, whoever of the collectors reads them."""
        for topic in self._consumer.subscription():
            for partition in self._consumer.partitions_for_topic(topic) or ():
                yield topic, partition

    def _readings(self) -> dict[Source, Reading]:
        subscription = self._consumer._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        readings: dict[Source, Reading] = {}
        if assignment is None:  # subscribed to nothing yet, or its group has not met yet
            return readings
        for partition in assignment.tps:
            state = assignment.state_value(partition)
            if state.timestamp is None or not state.has_valid_position:
                continue
            source = partition.topic, partition.partition
            asked_ms = self._polls.asked_ms(source, state.timestamp)
            if asked_ms is not None:
                readings[source] = Reading(
                    state.position,
                    state.highwater if state.lso is None else state.lso,
                    state.highwater,
                    asked_ms,
                    self._last_record_ms.get(source),
                )
        return readings

    async def _given_up(self) -> None:
        async with self._lock:  # what has been read is framed and committed first
            self._rebalances += 1
            await self._confirmed()
            self._watermarks.clear()
            self._polls.clear()
            self._last_record_ms.clear()


def _read(records: "Sequence[ConsumerRecord[bytes, bytes]]") -> Read:
    """The oldest stands for all: what is measured by it is never shown better than it is."""
    return records[0].timestamp, len(records)


def _lag(reading: Reading, now_ms: int) -> SourceLag:
    records = max(0, reading.stable_end - reading.position)
    since_ms = reading.last_record_ms
    return SourceLag(records, max(0, now_ms - since_ms) / 1000 if records and since_ms is not None else 0.0)
