"""Takes records from Kafka: which partitions are ours, how far each is handled, which must wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn

from saga.core.delivery import read_delivery
from saga.core.progress import Progress
from saga.runtime.fencing import Membership, MembershipLost, group_error, membership, stable_offsets
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    OffsetAndMetadata,
    TopicPartition,
)

_RETRY_TOPICS = "saga.retry."
_WATCH_SECONDS = 1.0


class Intake(ConsumerRebalanceListener):
    """The consumer of one service.

    Between two rebalances lies an epoch. Records of an earlier epoch are never handed out, and what
    became of them is never committed: the next owner reads them again.

    Parameters
    ----------
    revoke : called before partitions are given up, so that running work can be committed or dropped.
    restored : called before records of an epoch are handed out, when whoever had its partitions before can
        write nothing any more.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        group: str,
        revoke: Callable[[], Awaitable[None]],
        restored: Callable[[], Awaitable[None]],
    ) -> None:
        self._consumer = consumer
        self._group = group
        self._revoke = revoke
        self._restored = restored
        self._epoch = 0
        self._restored_epoch = -1
        self._progress: dict[TopicPartition, Progress] = {}
        self._due: dict[TopicPartition, float] = {}
        self._full: dict[TopicPartition, int] = {}
        self._member: Membership | None = None
        self._assigned = asyncio.Event()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Called by the consumer; the rebalance goes on when this returns."""
        self._assigned.clear()
        self._epoch += 1  # what a poll brings from now on is not ours any more
        try:
            await self._revoke()
        finally:
            self._epoch += 1
            self._member = None
            self._progress.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called by the consumer with the partitions of the new epoch."""
        self._epoch += 1
        self._member = membership(self._consumer, self._group)
        self._assigned.set()

    @property
    def epoch(self) -> int:
        """Another one as soon as a rebalance begins, and once it has ended."""
        return self._epoch

    @property
    def member(self) -> Membership:
        """Our membership in this epoch.

        Raises
        ------
        MembershipLost
            A rebalance is under way, or the group has forgotten us.
        """
        if self._member is None or self._member != membership(self._consumer, self._group):
            raise MembershipLost(f"{self._group}: the group is rebalancing")
        return self._member

    async def watch(self) -> NoReturn:
        """Ends with what has gone wrong in the group: who waits for partitions or for room does not poll."""
        while (error := group_error(self._consumer)) is None:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(_WATCH_SECONDS)
        raise error

    async def poll(self, timeout_ms: int, records_max: int) -> list[ConsumerRecord]:
        """Records to be handled now, in order within each partition; none after a while."""
        await self._assigned.wait()
        while self._restored_epoch != self._epoch:
            # Again if a rebalance came between: nothing is read from a position that is not ours.
            await self._assigned.wait()
            await self._restore()
        self._resume()
        epoch = self._epoch
        taken = await self._consumer.getmany(
            timeout_ms=self._until_due_ms(timeout_ms), max_records=records_max
        )
        if epoch != self._epoch:
            # Some of these may stand before, some behind the rebalance: all are read again, from
            # what is committed.
            self._restored_epoch = -1
            return []
        found: list[ConsumerRecord] = []
        for partition, records in taken.items():
            self._admit(partition, records, found)
        return found

    def finish(self, partition: TopicPartition, offset: int) -> None:
        """The outcome of a record is about to be committed."""
        self._progress[partition].finish(offset)

    def owns(self, topic: str, partition: int) -> bool:
        """Whether the partition is ours in this epoch, and it is known how far it has been handled."""
        ours = self._restored_epoch == self._epoch
        return ours and TopicPartition(topic, partition) in self._progress

    def touch(self, topic: str, partition: int) -> None:
        """What is about to be committed is about a record of this partition that was finished before.

        With the offset of the partition, whoever owns it next waits for that commit.
        """
        self._progress[TopicPartition(topic, partition)].touch()

    def offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """What is to be committed: each partition that moved since the last call, one at the least.

        A transaction without offsets would not be fenced: so the receipts of a record that is still being
        tried go with the offset of a partition that has not moved.
        """
        moving = [partition for partition, progress in self._progress.items() if progress.moved()]
        return {
            partition: OffsetAndMetadata(*self._progress[partition].committable())
            for partition in moving or list(self._progress)[:1]
        }

    async def _restore(self) -> None:
        """Go to where the group stands, once no open transaction can move that any more."""
        epoch = self._epoch
        partitions = self._consumer.assignment()
        committed = await stable_offsets(self._consumer, self._group, partitions)
        new = partitions - committed.keys()
        # All in one request, and not seek_to_beginning: that waits for a fetch to come back, each time.
        begins = await self._consumer.beginning_offsets(new) if new else {}
        await self._restored()
        if epoch != self._epoch:
            return
        self._progress.clear()
        self._due.clear()
        self._full.clear()
        for partition in partitions:
            self._consumer.resume(partition)
            if partition in begins:
                self._consumer.seek(partition, begins[partition])
            else:
                found = committed[partition]
                self._consumer.seek(partition, found.offset)
                self._progress[partition] = Progress(found.offset, found.metadata)
        self._restored_epoch = epoch

    def _admit(
        self, partition: TopicPartition, records: list[ConsumerRecord], found: list[ConsumerRecord]
    ) -> None:
        progress = self._progress.get(partition)
        if progress is None:
            progress = self._progress[partition] = Progress(records[0].offset)
        delayed = partition.topic.startswith(_RETRY_TOPICS)
        for record in records:
            if delayed and self._not_due(partition, record):
                break
            if not progress.admits(record.offset):
                self._hold(partition, record.offset)
                break
            if progress.give(record.offset):
                found.append(record)

    def _hold(self, partition: TopicPartition, offset: int) -> None:
        """Read on at this offset when the slowest record before it is finished."""
        self._consumer.pause(partition)
        self._consumer.seek(partition, offset)
        self._full[partition] = offset

    def _not_due(self, partition: TopicPartition, record: ConsumerRecord) -> bool:
        """Whether a retry must wait. All behind it in its topic were put there later, and wait too."""
        due = read_delivery(record.headers, record.topic, record.partition, record.offset).due_ms / 1000
        if due <= time.time():
            return False
        self._consumer.pause(partition)
        self._consumer.seek(partition, record.offset)
        self._due[partition] = due
        return True

    def _resume(self) -> None:
        if self._due:
            now = time.time()
            for partition in [partition for partition, due in self._due.items() if due <= now]:
                del self._due[partition]
                self._consumer.resume(partition)
        for partition, offset in list(self._full.items()):
            if self._progress[partition].reopened(offset):
                del self._full[partition]
                self._consumer.resume(partition)

    def _until_due_ms(self, timeout_ms: int) -> int:
        if not self._due:
            return timeout_ms
        wait = min(self._due.values()) - time.time()
        return max(0, min(timeout_ms, int(wait * 1000) + 1))
