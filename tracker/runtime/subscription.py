"""What the collector is subscribed to: receipts, commands, and the business topics there are.

Those are the topics that services announce, that somebody chose, or that a correlation rule is for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from aiokafka.abc import ConsumerRebalanceListener

from saga.core.access import Right, lacks
from saga.core.receipt import RECEIPTS_TOPIC
from saga.runtime.access import missing
from saga.runtime.kafka import AIOKafkaConsumer, TopicPartition
from saga.runtime.login import principal
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.sources import TopicSelection, business_topics
from tracker.runtime.announcements import Announcements
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.settings import TrackerSettings

logger = logging.getLogger(__name__)

_ASK_AGAIN_SECONDS = 30.0


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
        self._settings = settings
        self._asked_for: frozenset[str] = frozenset()
        self._asked_at = float("-inf")
        self._refused: dict[str, Right] = {}

    async def refresh(self) -> None:
        """Look for new topics if it is time to, and subscribe to them."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < self._interval_seconds:
            return
        self._looked_at = now
        existing = await self._consumer.topics()
        rules = self._knowledge.rules()
        announced = self._announcements.topics()
        wanted = announced.union(topic for topic in existing if rules.of(topic))
        await self._ask(business_topics(existing | announced, wanted, self._selection), now)
        sources = business_topics(existing, wanted, self._selection) - self._refused.keys()
        if sources != self._sources:
            self._sources = sources
            logger.info("collecting from %s", ", ".join(sorted(sources)) or "receipts only, as yet")
            topics = [RECEIPTS_TOPIC, COMMANDS_TOPIC, *sorted(sources)]
            self._consumer.subscribe(topics, listener=self._listener)

    async def _ask(self, topics: frozenset[str], now: float) -> None:
        """Ask which of them we may not read; they are left out until we may, and the others go on."""
        known = topics == self._asked_for
        if self._settings.security_protocol == "PLAINTEXT" or (
            known and not (self._refused and now - self._asked_at > _ASK_AGAIN_SECONDS)
        ):
            return
        self._asked_for, self._asked_at = topics, now
        lacking = await missing(self._settings, [Right("topic", topic, "Read") for topic in sorted(topics)])
        self._refused = {right.name: right for right in lacking}
        if lacking:
            who, servers = principal(self._settings), self._settings.bootstrap_servers
            logger.error("not collected: %s", lacks(who, lacking, servers))


class _Revocations(ConsumerRebalanceListener):
    def __init__(self, given_up: Callable[[], Awaitable[None]]) -> None:
        self._given_up = given_up

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._given_up()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        pass
