"""The clocks of our partitions, and when they are worth a row."""

import logging
from collections.abc import Collection, Iterable

from msgspec import DecodeError

from tracker.core.clock import PartitionClock, Reckoned
from tracker.core.frame import Watermark
from tracker.core.watermark import Source

logger = logging.getLogger(__name__)

_WRITTEN_EVERY_MS = 1_000
_IDLE_EVERY_MS = 60_000
"""A clock whose sagas do not change is written so rarely because its rows stay in the changelog for
days, and a tracker that lost its disk reads all of them. Who goes on from an old row reads the frames
behind it again, for their time."""


class Clocks:
    """The clock of each open partition. A partition is open from `open` to `forget`."""

    def __init__(self, gone_after_ms: int) -> None:
        self._gone_after_ms = gone_after_ms
        self._clocks: dict[int, PartitionClock] = {}
        self._changed: set[int] = set()
        self._written_at: dict[int, int] = {}

    def __contains__(self, partition: int) -> bool:
        return partition in self._clocks

    @property
    def partitions(self) -> list[int]:
        """Those that are open."""
        return list(self._clocks)

    def open(self, partition: int, row: bytes | None) -> None:
        """The clock goes on from its row; without one it begins anew."""
        try:
            clock = PartitionClock(self._gone_after_ms, row)
        except (DecodeError, UnicodeDecodeError) as error:
            logger.error("the clock of partition %d begins anew, its row can't be read: %s", partition, error)  # noqa: TRY400
            clock = PartitionClock(self._gone_after_ms)
        self._clocks[partition] = clock
        self._written_at[partition] = 0

    def observe(self, partition: int, watermarks: Iterable[Watermark], frame_ms: int, frame: int) -> Reckoned:
        """Take in what a frame of an open partition says; see `PartitionClock.observe`."""
        reckoned = self._clocks[partition].observe(watermarks, frame_ms, frame)
        if reckoned.changed:
            self._changed.add(partition)
        return reckoned

    def now_ms(self, partition: int) -> int | None:
        """The time of the partition; None if it is not known, or the partition is not open."""
        clock = self._clocks.get(partition)
        return None if clock is None else clock.now_ms

    def frame(self, partition: int) -> int:
        """The offset of the last frame that the clock of an open partition has taken in, -1 for none."""
        return self._clocks[partition].frame

    def watermark(self, partition: int, source: Source) -> int | None:
        """How far a source has been read, by the clock of an open partition; None if nobody has told."""
        return self._clocks[partition].watermark(source)

    def gone(self) -> dict[int, tuple[Source, ...]]:
        """By open partition the sources that hold up its time no longer because nobody reads them."""
        return {partition: clock.gone for partition, clock in self._clocks.items() if clock.gone}

    def take(self, written: Collection[int]) -> dict[int, bytes]:
        """The rows of clocks that are worth writing, next to the sagas of the `written` partitions.

        At once when other sources count than before: a tracker that goes on from an older row must
        not take time from fewer sources than this one did.
        """
        rows = {}
        for partition, clock in self._clocks.items():
            every_ms = _WRITTEN_EVERY_MS if partition in written else _IDLE_EVERY_MS
            if partition in self._changed or clock.active_ms - self._written_at[partition] >= every_ms:
                rows[partition] = clock.encode()
                self._written_at[partition] = clock.active_ms
        self._changed.clear()
        return rows

    def forget(self) -> None:
        """No partition is open any more."""
        self._clocks.clear()
        self._changed.clear()
        self._written_at.clear()
