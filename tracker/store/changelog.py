"""The layer that makes rows survive the loss of the disk: a compacted topic of the same rows."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, NamedTuple

from saga.core.errors import SagaError
from saga.runtime.kafka import AIOKafkaProducer
from tracker.store.rocks import Rows

KeysBetween = Callable[[int, int, int], Awaitable[set[bytes]]]
"""The keys that stand on a partition of the topic from one offset on and before another."""


class Unordered(SagaError):
    """Kafka says that rows stand where others stood already. Begin anew from the changelog."""


class Appended(NamedTuple):
    """What became of rows, by partition.

    Attributes
    ----------
    last : the offset of the last record.
    strangers : keys that somebody else has written since we wrote last. That is a tracker which was
        stopped when it was about to write, went on after the partition had been given to another, and
        so had the one or the other overwrite newer rows with older ones.
    """

    last: dict[int, int]
    strangers: dict[int, set[bytes]]


class Changelog:
    """Appends rows to the changelog topic; partition n of it belongs to partition n of the table.

    Nobody else writes to our partitions, so that what we append begins where our last rows ended. Where it
    does not, somebody has.
    """

    def __init__(self, producer: AIOKafkaProducer, topic: str, keys_between: KeysBetween) -> None:
        self._producer = producer
        self._topic = topic
        self._keys_between = keys_between
        self._next: dict[int, int] = {}

    def begin(self, partition: int, offset: int) -> None:
        """The partition is ours, and we know what stands before this offset."""
        self._next[partition] = offset

    async def append(self, rows: Mapping[int, Rows]) -> Appended:
        """Append the rows of several partitions; return once all are delivered, or one has failed for good.

        A removed row becomes a tombstone, with which compaction forgets the key.

        Raises
        ------
        KafkaError, Unordered
            Kafka did not take all of them. Some may have been written.
        """
        partitions = [partition for partition, its_rows in rows.items() if its_rows]
        outcomes = await asyncio.gather(
            *(self._append(partition, rows[partition]) for partition in partitions), return_exceptions=True
        )
        appended = Appended({}, {})
        for partition, outcome in zip(partitions, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            appended.last[partition], strangers = outcome
            if strangers:
                appended.strangers[partition] = strangers
        return appended

    async def _append(self, partition: int, rows: Rows) -> tuple[int, set[bytes]]:
        sent = []
        for batch in self._batches(rows):
            count = batch.record_count()
            sent.append((await self._producer.send_batch(batch, self._topic, partition=partition), count))
        strangers: set[bytes] = set()
        following = self._next.get(partition, 0)
        for delivery, count in sent:
            first = (await delivery).offset
            if first < following:
                raise Unordered(f"{self._topic}-{partition}@{first}: rows were expected at {following}")
            if first > following:
                strangers |= await self._keys_between(partition, following, first)
            following = first + count
        self._next[partition] = following
        return following - 1, strangers

    def _batches(self, rows: Rows) -> Iterator[Any]:
        batch = self._producer.create_batch()
        for key, value in rows.items():
            if batch.append(key=key, value=value, timestamp=None) is None:
                yield batch
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        yield batch
