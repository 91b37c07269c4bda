"""The order of frames: each frame of a partition after the one before it, and none left out."""

from collections.abc import Mapping
from enum import Enum, auto


class Place(Enum):
    """Where a frame stands to those taken before it."""

    NEXT = auto()
    RECALLED = auto()
    """It is the next one, and its facts have been taken before: only its time is wanted."""
    REPEATED = auto()
    """It has been taken before, or its partition is not ours."""
    AHEAD = auto()
    """There are frames before it that have not been taken."""


class FrameOrder:
    """The offset of the next frame of each partition.

    Kafka has no gaps in `saga.steps`, which is neither compacted nor written in transactions; should
    somebody do either all the same, `skip_to` goes over them.
    """

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._known: dict[int, int] = {}

    def begin(self, offsets: Mapping[int, int]) -> None:
        """Partitions that are ours from now on, and the offsets to begin at. All others are not."""
        self._next = dict(offsets)
        self._known = {}

    def end(self) -> None:
        """No partition is ours any more."""
        self._next = {}

    def place(self, partition: int, offset: int) -> Place:
        """Where a frame stands; the next one counts as taken."""
        expected = self._next.get(partition)
        if expected is None or offset < expected:
            return Place.REPEATED
        if offset > expected:
            return Place.AHEAD
        self._next[partition] = offset + 1
        return Place.RECALLED if offset < self._known.get(partition, 0) else Place.NEXT

    @property
    def partitions(self) -> list[int]:
        """Those that are ours."""
        return list(self._next)

    def expected(self, partition: int) -> int | None:
        """The offset of the next frame of a partition; None if it is not ours."""
        return self._next.get(partition)

    def recall_from(self, partition: int, offset: int) -> None:
        """Expect the frames from this offset on once more, before those that have not been taken."""
        self._known[partition] = max(self._known.get(partition, 0), self._next[partition])
        self._next[partition] = min(offset, self._next[partition])

    def skip_to(self, partition: int, offset: int) -> None:
        """There is no frame between the expected one and this."""
        self._next[partition] = max(offset, self._next[partition])
