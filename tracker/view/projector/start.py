"""Where to begin to read, by what the database holds and what Kafka has."""

from collections.abc import Mapping
from typing import NamedTuple

from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.view.model.projection import Place

STALE_MS = 20 * 3_600_000
"""Kafka forgets that a saga was removed `delete.retention.ms` after it was, which is a day."""


class Kept(NamedTuple):
    """What the database holds.

    Attributes
    ----------
    places : the cluster, and the next offset to read.
    complete_ms : when it last had all of the saga table; 0 for never.
    """

    places: Mapping[Place, tuple[str, int]]
    complete_ms: int


class Start(NamedTuple):
    """What to do before reading.

    Attributes
    ----------
    another_cluster : nothing of what is in the database is of this one: all is to be forgotten.
    anew : why sagas are forgotten and read from the beginning; "" if they are not.
    offsets : where to go on.
    moved : those of them that are not where the database stood.
    skipped : places where Kafka has dropped records before they were read, and how many at most.
    recreated : places whose topic was deleted and made again.
    """

    another_cluster: bool
    anew: str
    offsets: dict[Place, int]
    moved: dict[Place, int]
    skipped: dict[Place, int]
    recreated: list[Place]


def start(
    kept: Kept, available: Mapping[Place, tuple[int, int]], cluster: str, now_ms: int, rebuild: bool = False
) -> Start:
    """Where to begin. `available`: the first offset that each partition has, and the one behind its last."""
    another = any(other != cluster for other, _ in kept.places.values())
    stood = {} if another else {place: offset for place, (_, offset) in kept.places.items()}
    anew = "it is to be made anew" if rebuild else _anew(stood, kept.complete_ms, available, now_ms)
    if another:
        anew = "it is of another cluster"
    offsets: dict[Place, int] = {}
    skipped: dict[Place, int] = {}
    recreated: list[Place] = []
    for place, (begin, end) in available.items():
        at = stood.get(place)
        if at is None or rebuild or (anew and place[0] == SAGAS_CHANGELOG_TOPIC):
            offsets[place] = begin
        elif at > end:
            offsets[place] = begin
            recreated.append(place)
        else:
            offsets[place] = max(at, begin)
            if at < begin:
                skipped[place] = begin - at
    moved = {place: offset for place, offset in offsets.items() if stood.get(place) != offset}
    return Start(another, anew, offsets, moved, skipped, recreated)


def _anew(
    stood: Mapping[Place, int], complete_ms: int, available: Mapping[Place, tuple[int, int]], now_ms: int
) -> str:
    ours = {
        partition: offset for (topic, partition), offset in stood.items() if topic == SAGAS_CHANGELOG_TOPIC
    }
    table = {
        partition: ends for (topic, partition), ends in available.items() if topic == SAGAS_CHANGELOG_TOPIC
    }
    if not table:
        return ""  # it may be on its way: `saga repartition` makes it anew
    if not ours:
        return "it is empty"
    if ours.keys() != table.keys():
        return f"the saga table has {len(table)} partitions and had {len(ours)}"
    for partition, offset in sorted(ours.items()):
        begin, end = table[partition]
        if not begin <= offset <= end:
            return f"partition {partition} was read up to {offset} and has {begin} to {end}"
    if now_ms - complete_ms > STALE_MS:
        return "sagas may have been removed meanwhile of which Kafka no longer tells"
    return ""
