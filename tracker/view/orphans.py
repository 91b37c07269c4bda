"""Records of the collected topics that belong to no saga, read from the topics themselves.

Nothing is kept of them but what Kafka keeps anyway: so none is lost, and the reason is that of the
correlation rules of today.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from saga.core.receipt import RECEIPTS_TOPIC
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    TopicPartition,
    partition_counts,
    reader,
    records_before,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.collect import why_uncorrelated
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.correlation import Rules
from tracker.core.sources import TopicSelection, announced_topics, business_topics
from tracker.view.changelog import read_announcements
from tracker.view.registry import read_registry

_KEY_LENGTH_MAX = 60

REASONS = {
    "not-an-event": "no CloudEvent, and no correlation rule is for its topic",
    "no-saga": "it names no saga",
    "no-type": "it names no type",
    "not-json": "no correlation rule finds a saga in it, and it is no JSON",
    "bad-time": "its time is none between 1970 and 9999",
    "too-long": "an id or a name in it is too long",
    "not-receipts": "it is no batch of receipts",
    "not-a-command": "it is no command, or does not say who gave it and why",
}
"""What the reasons of `tracker.core.collect.why_uncorrelated` mean."""


class Orphan(NamedTuple):
    """A record that no saga was told of, and why (docs/correlation.md has the reasons)."""

    at_ms: int
    topic: str
    partition: int
    offset: int
    key: str
    reason: str


@dataclass
class Orphans:
    """What was found.

    Attributes
    ----------
    newest : the newest of each partition, as many as were asked for.
    counts : by topic and reason, of all records that were read.
    topics : that were read.
    records : that were read.
    older : records before those, which were not read.
    """

    newest: list[Orphan] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    topics: tuple[str, ...] = ()
    records: int = 0
    older: int = 0


async def read_orphans(settings: KafkaSettings, topics: Collection[str], last: int, limit: int) -> Orphans:
    """Of the last `last` records of each partition those that belong to no saga, the newest first.

    Parameters
    ----------
    topics : to read; none for those that services announce or a rule is for, receipts and commands.
    last : 0 for all.
    limit : so many are listed; all are counted.
    """
    announcements, registry = await asyncio.gather(read_announcements(settings), read_registry(settings))
    rules = Rules(rule for rule in registry.rules if rule.name not in registry.retired_rules)
    async with reader(settings, isolation_level="read_committed") as consumer:
        existing = await consumer.topics()
        wanted = announced_topics(announcements).union(topic for topic in existing if rules.of(topic))
        sources = business_topics(existing, wanted, TopicSelection(""))
        chosen = existing.intersection(topics or {RECEIPTS_TOPIC, COMMANDS_TOPIC, *sources})
        found = Orphans(topics=tuple(sorted(chosen)))
        if not chosen:
            return found
        counts = await partition_counts(settings, chosen)
        partitions = [
            TopicPartition(topic, partition)
            for topic in found.topics
            for partition in range(counts.get(topic, 0))
        ]
        consumer.assign(partitions)
        listed: dict[TopicPartition, deque[Orphan]] = {}
        ends = await _seek(consumer, partitions, last, found)
        async for source, records in records_before(consumer, ends):
            topic, partition = source.topic, source.partition
            kept = listed.setdefault(source, deque(maxlen=limit))
            found.records += len(records)
            for record in records:
                reason = why_uncorrelated(topic, partition, record, rules.of(topic))
                if reason:
                    found.counts[topic, reason] += 1
                    key = (record.key or b"").decode(errors="replace")[:_KEY_LENGTH_MAX]
                    kept.append(Orphan(record.timestamp, topic, partition, record.offset, key, reason))
    found.newest = sorted((orphan for kept in listed.values() for orphan in kept), reverse=True)[:limit]
    return found


async def _seek(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], last: int, found: Orphans
) -> dict[TopicPartition, int]:
    """Go back so many records from the ends of the partitions; these ends."""
    begins = await consumer.beginning_offsets(partitions)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    for partition in partitions:
        start = max(begins[partition], ends[partition] - last) if last else begins[partition]
        found.older += start - begins[partition]
        consumer.seek(partition, start)
    return ends
