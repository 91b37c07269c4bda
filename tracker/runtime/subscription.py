"""What the collector is subscribed to: receipts, commands, and the business topics there are.

Those are the topics that services announce, that somebody chose, or that a correlation rule is for.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from aiokafka.abc import ConsumerRebalanceListener

from saga.core.receipt import RECEIPTS_TOPIC
from saga.runtime.kafka import AIOKafkaConsumer, TopicPartition
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.sources import TopicSelection, business_topics
from tracker.runtime.announcements import Announcements
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.settings import TrackerSettings

logger = logging.getLogger(__name__)


class SourceSubscription:
    """Keeps the subscription of a consumer up with the business topics.

    `given_up` is awaited before partitions go to others, or come back after a change.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        consumer: AIOKafkaConsumer,
        announcements: Announcements,
        knowledge: Knowledge,
        given_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._consumer = consumer
        self._announcements = announcements
        self._knowledge = knowledge
        self._selection = TopicSelection(settings.tracker_topics)
        self._interval_seconds = settings.sources_interval_ms / 1000
        self._listener = _Revocations(given_up)
        self._looked_at = float("-inf")
        self._sources: frozenset[str] | None = None

    async def refresh(self) -> None:
        """Look for new topics if it is time to, and subscribe to them."""
        now = time.monotonic()
        if now - self._looked_at < self._interval_seconds:
            return
        self._looked_at = now
        existing = await self._consumer.topics()
        rules = self._knowledge.rules()
        wanted = self._announcements.topics().union(topic for topic in existing if rules.of(topic))
        sources = business_topics(existing, wanted, self._selection)
        if sources != self._sources:
            self._sources = sources
            logger.info("collecting from %s", ", ".join(sorted(sources)) or "receipts only, as yet")
            topics = [RECEIPTS_TOPIC, COMMANDS_TOPIC, *sorted(sources)]
            self._consumer.subscribe(topics, listener=self._listener)


class _Revocations(ConsumerRebalanceListener):
    def __init__(self, given_up: Callable[[], Awaitable[None]]) -> None:
        self._given_up = given_up

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._given_up()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        pass
