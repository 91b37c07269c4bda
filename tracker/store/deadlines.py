"""When each saga wants to be woken: the deadlines of our partitions, in memory, made from their rows."""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush

from tracker.store.heads import Head

_STALE_MAX = 1_000
"""So many entries that count no longer are kept before the heap is made anew, or as many as do count."""


class Deadlines:
    """For each open partition the sagas that have a deadline, by its time.

    A partition is open from `open` to `forget`; deadlines of others are not kept. The cost of asking
    grows with what is due, not with what is kept.
    """

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}

    def open(self, partition: int) -> None:
        """The deadlines of this partition are kept from now on; as yet there are none."""
        self._partitions[partition] = _Partition()

    def scan(self, partition: int, heads: Iterable[Head]) -> None:
        """Take the deadlines from some rows of the partition; `scanned` comes before anything is asked."""
        self._partitions[partition].fill([(head.due_ms, head.id) for head in heads if head.due_ms >= 0])

    def scanned(self, partition: int) -> None:
        """All rows of the partition have been looked at."""
        self._partitions[partition].filled()

    def put(self, partition: int, saga_id: str, due_ms: int) -> None:
        """The saga wants to be woken then, and not when it wanted before; -1: not at all."""
        known = self._partitions.get(partition)
        if known is not None:
            known.put(saga_id, due_ms)

    def due(self, partition: int, now_ms: int) -> Iterator[str]:
        """Sagas whose deadline has come, the earliest first; each is no longer kept when it is given.

        What is put meanwhile is taken into account.
        """
        known = self._partitions.get(partition)
        return iter(()) if known is None else known.due(now_ms)

    def count(self, partition: int) -> int:
        """How many sagas of the partition have a deadline."""
        known = self._partitions.get(partition)
        return 0 if known is None else len(known)

    def forget(self) -> None:
        """No partition is open any more."""
        self._partitions.clear()


class _Partition:
    """A heap of entries, of which those count that say what the saga said last."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._due_ms: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._due_ms)

    def put(self, saga_id: str, due_ms: int) -> None:
        known = self._due_ms
        if due_ms < 0:
            known.pop(saga_id, None)
        elif known.get(saga_id) != due_ms:
            known[saga_id] = due_ms
            heappush(self._heap, (due_ms, saga_id))
            if len(self._heap) > 2 * len(known) + _STALE_MAX:
                self._heap = [(due_ms, saga_id) for saga_id, due_ms in known.items()]
                heapify(self._heap)

    def fill(self, entries: Sequence[tuple[int, str]]) -> None:
        """Take entries of sagas that are not known yet, in no order until `filled`."""
        self._heap += entries
        self._due_ms.update({saga_id: due_ms for due_ms, saga_id in entries})

    def filled(self) -> None:
        """All entries are taken. Once for all: in order after each part, a million take a second more."""
        heapify(self._heap)

    def due(self, now_ms: int) -> Iterator[str]:
        known = self._due_ms
        while self._heap and self._heap[0][0] <= now_ms:
            due_ms, saga_id = heappop(self._heap)
            if known.get(saga_id) == due_ms:
                del known[saga_id]
                yield saga_id
