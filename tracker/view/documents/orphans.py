"""Records that belong to no saga."""

from msgspec import Struct

from tracker.view.documents.moment import timestamp
from tracker.view.orphans import Orphans


class OrphanCount(Struct, frozen=True, gc=False):
    """How many records of a topic belong to no saga, and why."""

    topic: str
    reason: str
    records: int


class OrphanDocument(Struct, frozen=True, gc=False):
    """A record that no saga was told of."""

    written: str
    topic: str
    partition: int
    offset: int
    key: str
    reason: str


class OrphansDocument(Struct, frozen=True):
    """Of `records` that were read those that belong to no saga, the newest first; `older` were not read."""

    topics: tuple[str, ...]
    records: int
    older: int
    counts: list[OrphanCount]
    orphans: list[OrphanDocument]


def orphans_document(found: Orphans) -> OrphansDocument:
    """All of it for programs."""
    return OrphansDocument(
        found.topics,
        found.records,
        found.older,
        [OrphanCount(topic, reason, count) for (topic, reason), count in sorted(found.counts.items())],
        [
            OrphanDocument(
                timestamp(orphan.at_ms),
                orphan.topic,
                orphan.partition,
                orphan.offset,
                orphan.key,
                orphan.reason,
            )
            for orphan in found.newest
        ],
    )
