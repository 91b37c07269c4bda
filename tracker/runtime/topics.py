"""The topics that the tracker needs, made when they do not exist, and where they begin."""

import asyncio

from saga.core.errors import DeclarationError
from saga.core.receipt import RECEIPTS_TOPIC, SERVICES_TOPIC
from saga.runtime.kafka import AIOKafkaConsumer, Topic, TopicPartition, ensure_topics, partition_counts
from saga.runtime.settings import KafkaSettings
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.effect import ALERTS_TOPIC, ANSWERS_TOPIC, LIFECYCLE_TOPIC
from tracker.core.frame import STEPS_TOPIC
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.flow.record import FLOWS_TOPIC
from tracker.runtime.settings import TrackerSettings

_READ_SECONDS_MAX = 15.0


async def made_topics(settings: TrackerSettings) -> int:
    """Make the topics that the tracker needs; the number of partitions of the saga table.

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
            Topic(SAGAS_CHANGELOG_TOPIC, partitions, compacted),
            Topic(RECEIPTS_TOPIC),
            Topic(SERVICES_TOPIC, 1, compacted),
            Topic(FLOWS_TOPIC, 1, compacted),
            Topic(COMMANDS_TOPIC),
            Topic(ANSWERS_TOPIC),
            Topic(LIFECYCLE_TOPIC),
            Topic(ALERTS_TOPIC),
        ],
    )
    if counts.get(SAGAS_CHANGELOG_TOPIC, partitions) != partitions:
        raise DeclarationError(
            f"{STEPS_TOPIC} has {partitions} partitions and {SAGAS_CHANGELOG_TOPIC} has "
            f"{counts[SAGAS_CHANGELOG_TOPIC]}, but they must be as many. Delete the one that is younger"
        )
    return partitions


async def first_offset(settings: KafkaSettings, partition: TopicPartition, offset: int) -> int:
    """The offset of the first record at or behind this offset, which must have been written.

    Raises
    ------
    TimeoutError
        There is none.
    """
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers, auto_offset_reset="earliest"
    ) as reader:
        reader.assign([partition])
        reader.seek(partition, offset)
        record = await asyncio.wait_for(reader.getone(), _READ_SECONDS_MAX)
        return int(record.offset)
