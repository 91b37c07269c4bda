"""Kafka in memory: topics, partitions, offsets, transactions with a last stable offset, compaction."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

Headers = Sequence[tuple[str, bytes | None]]

_offset = attrgetter("offset")


class Transaction:
    """Open until it is committed or aborted. `places`: where it has written."""

    def __init__(self) -> None:
        self.state = "open"
        self.places: list[Partition] = []


@dataclass(slots=True)
class Record:
    """What stands in a partition. `placed_ms` is when it came there; `timestamp` is what its producer says.

    `control`: the end of a transaction, which takes an offset and is shown to nobody.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    placed_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    transaction: Transaction | None = None
    control: bool = False


class Partition:
    """Records by offset. `listener` is told of each record once it is stable, `witness` at once."""

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.records: list[Record] = []
        self.end = 0
        self.waiting: list[Callable[[], None]] = []
        self.listener: Callable[[Record], None] | None = None
        self.witness: Callable[[Record], None] | None = None
        self._open: list[tuple[int, Transaction]] = []
        self._told = 0

    @property
    def stable_end(self) -> int:
        """The last stable offset."""
        return self._open[0][0] if self._open else self.end

    def append(
        self,
        now_ms: int,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        transaction: Transaction | None = None,
        control: bool = False,
    ) -> int:
        """The offset of the new record."""
        offset = self.end
        record = Record(
            self.topic, self.number, offset, timestamp, now_ms, key, value, headers, transaction, control
        )
        self.records.append(record)
        self.end += 1
        if transaction is not None and not control and self not in transaction.places:
            transaction.places.append(self)
            self._open.append((offset, transaction))
        if self.witness is not None and not control:
            self.witness(record)
        self._moved()
        return offset

    def close(self, transaction: Transaction, now_ms: int) -> None:
        """The end of a transaction that has written here."""
        self._open = [entry for entry in self._open if entry[1] is not transaction]
        self.append(now_ms, now_ms, None, None, (), transaction, control=True)

    def read(self, offset: int, count: int, *, committed: bool = True) -> tuple[list[Record], int]:
        """So many records from an offset on, and the offset to go on at."""
        end = self.stable_end if committed else self.end
        records = self.records
        index = offset if len(records) == self.end else bisect_left(records, offset, key=_offset)
        found: list[Record] = []
        while index < len(records) and records[index].offset < end and len(found) < count:
            record = records[index]
            index += 1
            if not _hidden(record):
                found.append(record)
        behind = index < len(records) and records[index].offset < end
        return found, records[index].offset if behind else max(offset, end)

    def visible(self) -> Iterator[Record]:
        """All records that a reader of committed ones is shown by now."""
        end = self.stable_end
        for record in self.records:
            if record.offset >= end:
                return
            if not _hidden(record):
                yield record

    def compact(self, keep: int) -> None:
        """Of each key the last record stays; the newest `keep` records are left alone."""
        head, tail = self.records[: max(0, len(self.records) - keep)], self.records[-keep:]
        last = {record.key: record.offset for record in self.records}
        self.records = [record for record in head if last[record.key] == record.offset] + tail

    def _moved(self) -> None:
        if self.listener is not None:
            found, self._told = self.read(self._told, 1_000_000)
            for record in found:
                self.listener(record)
        waiting, self.waiting = self.waiting, []
        for wake in waiting:
            wake()


class Log:
    """All topics."""

    def __init__(self, topics: dict[str, int]) -> None:
        self.topics = {
            name: [Partition(name, number) for number in range(count)] for name, count in topics.items()
        }

    def partition(self, topic: str, number: int) -> Partition:
        return self.topics[topic][number]

    def end(self, transaction: Transaction, now_ms: int, *, commit: bool) -> None:
        """Commit or abort a transaction."""
        transaction.state = "committed" if commit else "aborted"
        for partition in transaction.places:
            partition.close(transaction, now_ms)

    def visible(self, topic: str) -> Iterator[Record]:
        """All committed records of a topic, partition by partition."""
        for partition in self.topics[topic]:
            yield from partition.visible()


def _hidden(record: Record) -> bool:
    return record.control or (record.transaction is not None and record.transaction.state == "aborted")
