"""The topics that the tracker needs, made when they do not exist, and where they begin."""

import asyncio
from typing import NamedTuple

from saga.core.errors import DeclarationError
from saga.core.receipt import RECEIPTS_TOPIC
from saga.runtime.kafka import (
    PAUSED,
    SERVICES,
    Topic,
    TopicPartition,
    admin,
    ensure_topics,
    partition_counts,
    reader,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.effect import ALERTS_TOPIC, ANSWERS_TOPIC, LIFECYCLE_TOPIC
from tracker.core.frame import STEPS_TOPIC
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.flow.record import FLOWS_TOPIC
from tracker.runtime.settings import TrackerSettings

_READ_SECONDS_MAX = 15.0

_OFTEN_COMPACTED = {"segment.bytes": str(64 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.3"}
"""Whoever has lost its disk reads all of the changelog, also what is not compacted yet."""


class Cluster(NamedTuple):
    """The id that Kafka has given the cluster, and the number of partitions of the saga table in it."""

    id: str
    partitions: int


async def made_topics(settings: TrackerSettings) -> Cluster:
    """Make the topics that the tracker needs, and tell of the cluster they are in.

    Raises
    ------
    DeclarationError
        `saga.steps` and the changelog of the table do not have as many partitions as each other.
    """
    compacted = {"cleanup.policy": "compact"}
    counts = await partition_counts(settings, [STEPS_TOPIC, SAGAS_CHANGELOG_TOPIC])
    partitions = counts.get(STEPS_TOPIC, counts.get(SAGAS_CHANGELOG_TOPIC, settings.steps_partitions))
    await ensure_topics(
        settings,
        [
            Topic(STEPS_TOPIC, partitions),
            Topic(SAGAS_CHANGELOG_TOPIC, partitions, {**compacted, **_OFTEN_COMPACTED}),
            Topic(RECEIPTS_TOPIC),
            SERVICES,
            Topic(FLOWS_TOPIC, 1, compacted),
            Topic(COMMANDS_TOPIC),
            PAUSED,
            Topic(ANSWERS_TOPIC),
            Topic(LIFECYCLE_TOPIC),
            Topic(ALERTS_TOPIC),
        ],
    )
    if counts.get(SAGAS_CHANGELOG_TOPIC, partitions) != partitions:
        raise DeclarationError(
            f"{STEPS_TOPIC} has {partitions} partitions and {SAGAS_CHANGELOG_TOPIC} has "
            f"{counts[SAGAS_CHANGELOG_TOPIC]}, but they must be as many. If `saga repartition` "
            "was not finished, run it again; otherwise delete the one that is younger"
        )
    return Cluster(await cluster_id(settings), partitions)


async def cluster_id(settings: KafkaSettings) -> str:
    """The id that Kafka has given the cluster."""
    async with admin(settings) as client:
        return str((await client.describe_cluster())["cluster_id"])


async def first_offset(settings: KafkaSettings, partition: TopicPartition, offset: int) -> int:
    """The offset of the first record at or behind this offset, which must have been written.

    Raises
    ------
    TimeoutError
        There is none.
    """
    async with reader(settings) as consumer:
        consumer.assign([partition])
        consumer.seek(partition, offset)
        record = await asyncio.wait_for(consumer.getone(), _READ_SECONDS_MAX)
        return int(record.offset)
