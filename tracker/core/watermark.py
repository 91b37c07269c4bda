"""Watermarks: how far in time each source partition has been read (DESIGN, section 5).

While the collector is behind, time stands at the last record it read, less the delay that producers
have: another one may have stamped a record earlier that stands behind it. Once it has read all there
is, time stands at the moment Kafka was last asked: not at the clock's time, because a broker that
has fallen silent says nothing about what it missed. An open transaction holds time back, since
the awaited event may lie in it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tracker.core.frame import HELD_MS, UNREAD_MS, Watermark

Source = tuple[str, int]
"""Topic and partition."""


class Reading(NamedTuple):
    """What the consumer knows of a partition.

    position : offset of the next record to read.
    stable_end : the last stable offset: where the first open transaction begins, or the end.
    end : the high watermark: offset of the next record to be written.
    polled_ms : when Kafka was asked for the two ends.
    last_record_ms : timestamp of the last record read; None before the first one.
    """

    position: int
    stable_end: int
    end: int
    polled_ms: int
    last_record_ms: int | None


def watermark(reading: Reading, known_ms: int | None, delay_ms: int) -> int | None:
    """Everything up to this moment has been read; None as long as that is not known, `HELD_MS` if an open
    transaction is why.

    It never goes back behind `known_ms`, and never ahead of the poll: the clock of a producer that
    is ahead of ours must not carry us into the future. `delay_ms` is the time that producers have
    from the timestamp of a record to its place in the topic.
    """
    now_ms = reading.polled_ms - delay_ms
    if reading.position >= reading.stable_end and reading.stable_end == reading.end:
        found = now_ms
    elif reading.last_record_ms is None or reading.last_record_ms < 0:
        return HELD_MS if known_ms is None and reading.position >= reading.stable_end else known_ms
    else:
        found = min(reading.last_record_ms - delay_ms, now_ms)
    return found if known_ms is None else max(found, known_ms)


class Polls:
    """When Kafka was asked, at the earliest, for the answer that a consumer has looked at last.

    A consumer knows when it looked at an answer, and that may be long after it was made: a process that
    was stopped finds old ones when it goes on. But it asks for a partition again only when it has
    looked at the answer before. So the moment it did that is one that the next answer is not older than.
    """

    def __init__(self) -> None:
        self._looked: dict[Source, tuple[int, int | None]] = {}

    def asked_ms(self, source: Source, looked_ms: int) -> int | None:
        """When that was, for an answer that was looked at then; None for the first one."""
        last_ms, asked_ms = self._looked.get(source, (looked_ms, None))
        if looked_ms != last_ms:
            asked_ms = last_ms
        self._looked[source] = looked_ms, asked_ms
        return asked_ms

    def clear(self) -> None:
        """All partitions are given up."""
        self._looked.clear()


class Watermarks:
    """The watermarks of the source partitions that this collector reads."""

    def __init__(self, delay_ms: int) -> None:
        self._delay_ms = delay_ms
        self._known: dict[Source, int] = {}

    def advance(self, readings: Mapping[Source, Reading]) -> None:
        """Take over what the consumer knows now. Partitions that are not in it are given up."""
        known: dict[Source, int] = {}
        for source, reading in readings.items():
            at_ms = watermark(reading, self._known.get(source), self._delay_ms)
            if at_ms is not None:
                known[source] = at_ms
        self._known = known

    def clear(self) -> None:
        """Give up all partitions: whoever reads them next reports them."""
        self._known = {}

    def report(self, existing: Iterable[Source] = ()) -> list[Watermark]:
        """For a frame that follows all facts read so far.

        Of the `existing` source partitions those are named too that this collector knows nothing of:
        nobody may take the others' word for the time of all.
        """
        known = self._known
        told = [Watermark(topic, partition, at_ms) for (topic, partition), at_ms in known.items()]
        told += [Watermark(*source, UNREAD_MS) for source in existing if source not in known]
        return told
