"""The collector: business topics, receipts and commands in, frames on `saga.steps` out.

At least once: offsets are committed after the frames are delivered, and the fold of the tracker
makes nothing of a fact told twice.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from aiokafka.errors import CommitFailedError, IllegalStateError

from saga.core.receipt import RECEIPTS_TOPIC
from saga.runtime.kafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from tracker.core.collect import (
    PAYLOAD_BYTES_MAX,
    TOO_LARGE,
    Payloads,
    SagaFacts,
    Uncorrelated,
    collect_commands,
    collect_events,
    collect_receipts,
)
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.frame import STEPS_TOPIC, ChildBegun, CommandSeen, EventSeen, Fact
from tracker.core.pack import FrameLimits, by_partition, pack
from tracker.core.watermark import Reading, Source, Watermarks
from tracker.runtime.announcements import Announcements
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.subscription import SourceSubscription
from tracker.runtime.supervision import unless_stopped

logger = logging.getLogger(__name__)

GROUP = "saga-collector"

Delivery = asyncio.Future[Any]
Batches = Mapping[TopicPartition, list["ConsumerRecord[bytes, bytes]"]]


class Collector:
    """Reads its share of the source partitions. One use only: after an error make a new one.

    `uncorrelated` counts, by topic and reason, what no saga was told about; it goes on where the
    collector before this one stopped.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        partitions: int,
        producer: AIOKafkaProducer,
        announcements: Announcements,
        knowledge: Knowledge,
        uncorrelated: Uncorrelated,
    ) -> None:
        self.uncorrelated = uncorrelated
        self._uncorrelated_told = uncorrelated.total()
        self._settings = settings
        self._partitions = partitions
        self._producer = producer
        self._knowledge = knowledge
        # A payload fills half a frame at most: what does not fit into a frame is left out altogether.
        self._payload_bytes_max = min(PAYLOAD_BYTES_MAX, settings.frame_bytes // 2)
        self._limits = FrameLimits(settings.frame_steps, settings.frame_bytes)
        self._watermarks = Watermarks(settings.watermark_delay_ms)
        self._last_record_ms: dict[Source, int] = {}
        self._framed_at = [float("-inf")] * partitions
        self._lock = asyncio.Lock()
        self._confirming: asyncio.Task[None] | None = None
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers,
            group_id=GROUP,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=min(1000, settings.session_timeout_ms // 3),
            fetch_max_bytes=4 * 1024 * 1024,  # what is read while the last answer is worked on
            # Light load: Kafka waits for more records instead of waking us for each, which would take the
            # processor from the service that it is meant for next.
            fetch_min_bytes=64 * 1024,
            fetch_max_wait_ms=settings.collect_interval_ms,
            metadata_max_age_ms=30_000,  # partitions that were added to a topic are found by then
        )
        self._sources = SourceSubscription(settings, self._consumer, announcements, knowledge, self._given_up)

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until told to stop; then leave the group with everything read committed.

        Raises
        ------
        KafkaError
            Kafka refuses something. What was read since the last commit will be read again.
        """
        await self._consumer.start()
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

    async def _collect_once(self) -> None:
        batches = await self._consumer.getmany(
            timeout_ms=self._settings.idle_frame_ms // 2, max_records=self._settings.collect_records
        )
        async with self._lock:
            if batches and not self._consumer.assignment().issuperset(batches):
                return  # polled before a rebalance: whoever owns them now reads them
            deliveries = await self._frame(batches)
            await self._confirmed()
            self._confirming = asyncio.create_task(self._confirm(deliveries, batches))

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
        if self.uncorrelated.total() != self._uncorrelated_told:
            self._uncorrelated_told = self.uncorrelated.total()
            logger.debug("told to no saga so far: %s", dict(self.uncorrelated))
        self._watermarks.advance(self._readings())
        return await self._send(by_partition(facts, self._partitions))

    async def _send(self, facts: Mapping[int, SagaFacts]) -> list[Delivery]:
        now = asyncio.get_running_loop().time()
        idle_since = now - self._settings.idle_frame_ms / 1000
        watermarks = self._watermarks.report(self._existing())
        deliveries: list[Delivery] = []
        for partition in range(self._partitions):
            if partition in facts or (watermarks and self._framed_at[partition] <= idle_since):
                packed = pack(facts.get(partition, {}), watermarks, self._limits)
                for fact in packed.refused:
                    self.uncorrelated[_topic(fact), TOO_LARGE] += 1
                for frame in packed.frames:
                    deliveries.append(await self._producer.send(STEPS_TOPIC, frame, partition=partition))
                self._framed_at[partition] = now
        return deliveries

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
        """Wait for the frames before these. So two polls are under way at most, and commits stay in order."""
        confirming, self._confirming = self._confirming, None
        if confirming is not None:
            await confirming

    def _existing(self) -> Iterator[Source]:
        """The partitions of all topics that are collected, whoever of the collectors reads them."""
        for topic in self._consumer.subscription():
            for partition in self._consumer.partitions_for_topic(topic) or ():
                yield topic, partition

    def _readings(self) -> dict[Source, Reading]:
        assignment = self._consumer._subscription.subscription.assignment
        readings = {}
        for partition in assignment.tps:
            state = assignment.state_value(partition)
            if state.timestamp is not None and state.has_valid_position:
                readings[partition.topic, partition.partition] = Reading(
                    state.position,
                    state.highwater if state.lso is None else state.lso,
                    state.highwater,
                    state.timestamp,
                    self._last_record_ms.get((partition.topic, partition.partition)),
                )
        return readings

    async def _given_up(self) -> None:
        async with self._lock:  # what has been read is framed and committed first
            await self._confirmed()
            self._watermarks.clear()
            self._last_record_ms.clear()


def _topic(fact: Fact) -> str:
    """Where the record stands that it was read off."""
    match fact:
        case EventSeen():
            return fact.topic
        case CommandSeen():
            return COMMANDS_TOPIC
        case ChildBegun():
            return STEPS_TOPIC  # its event is a fact of its own, which says where it stands
        case _:
            return RECEIPTS_TOPIC
