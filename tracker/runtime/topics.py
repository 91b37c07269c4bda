"""The topics that the tracker needs, made when they do not exist."""

from saga.core.errors import DeclarationError
from saga.core.receipt import RECEIPTS_TOPIC, SERVICES_TOPIC
from saga.runtime.kafka import Topic, ensure_topics, partition_counts
from tracker.core.frame import STEPS_TOPIC
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.runtime.settings import TrackerSettings


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
        ],
    )
    if counts.get(SAGAS_CHANGELOG_TOPIC, partitions) != partitions:
        raise DeclarationError(
            f"{STEPS_TOPIC} has {partitions} partitions and {SAGAS_CHANGELOG_TOPIC} has "
            f"{counts[SAGAS_CHANGELOG_TOPIC]}, but they must be as many. Delete the one that is younger"
        )
    return partitions
