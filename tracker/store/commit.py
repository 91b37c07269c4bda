"""The commit: folded sagas become durable, in the one order that loses nothing."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from saga.core.errors import SagaError
from tracker.core.effect import Effect
from tracker.core.frame import Read
from tracker.store.changelog import Changelog
from tracker.store.rocks import RocksRows, Rows
from tracker.store.table import SagaTable

logger = logging.getLogger(__name__)


class CommitBroken(SagaError):
    """A commit failed half-way: what it took is in memory only. Begin anew from the committed offsets."""


class Ownership(Protocol):
    """What the consumer group knows of us."""

    async def ensure(self) -> None:
        """Return if the partitions are ours for long enough to write to them; raise otherwise."""

    async def prove(self) -> None:
        """The same, and ask Kafka, whatever it said last."""

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit the offset of the next frame of each partition."""


class Effects(Protocol):
    """The way of what the sagas want done to the world."""

    async def send(self, effects: Sequence[Effect]) -> None:
        """Return when all of them are delivered, or refused for good; raise otherwise."""


class Observer(Protocol):
    """Who is told of commits."""

    def visible(self, read: Iterable[Read], effects: int) -> None:
        """What was made of these records stands in the table for all to read, after so many effects."""

    def committed(self, seconds: float) -> None:
        """A commit is done and lasted so long."""


class Commit:
    """Takes what was folded and writes it, one commit at a time.

    Effects go before the state that knows of them. A crash between the two makes the same effects
    again, from the same frames and under the same ids; the other way round it would lose them.
    """

    def __init__(
        self,
        table: SagaTable,
        effects: Effects,
        changelog: Changelog,
        rows: RocksRows,
        ownership: Ownership,
        observer: Observer | None = None,
    ) -> None:
        self._table = table
        self._effects = effects
        self._changelog = changelog
        self._rows = rows
        self._ownership = ownership
        self._observer = observer
        self._lock = asyncio.Lock()
        self._offsets: dict[int, int] = {}
        self._read: list[Read] = []
        self._broken = False

    def folded(self, partition: int, offset: int, read: Iterable[Read] = ()) -> None:
        """The frame at this offset, which tells of these records, has been folded into the table."""
        self._offsets[partition] = offset + 1
        self._read.extend(read)

    async def commit(self) -> None:
        """Write all that was folded before the call.

        Raises
        ------
        CommitBroken
            An earlier commit failed. Frames folded after it must not be committed without its own.
        KafkaError
            This one failed.
        """
        async with self._lock:
            await self._commit()

    async def give_up(self) -> None:
        """Write all that was folded, and forget it: afterwards others may own the partitions."""
        async with self._lock:
            await self._commit()
            self._read.clear()
            self._offsets.clear()  # of what was folded meanwhile nothing may be committed
            self._table.forget()

    async def repair(self, partition: int, keys: Iterable[bytes], effects: Sequence[Effect]) -> None:
        """Write these rows of a restored partition to the changelog again, as they stand in the database.

        The effects tell of it, and so come first.

        Raises
        ------
        KafkaError, OwnershipLost
            They are not written.
        """
        async with self._lock:
            await self._ownership.ensure()
            await self._effects.send(effects)
            await self._ownership.ensure()
            await self._put_right({partition: set(keys)})

    async def _commit(self) -> None:
        if self._broken:
            raise CommitBroken("an earlier commit of the saga table failed")
        if not self._offsets:
            return
        self._broken = True  # until it is done: a cancelled commit is a broken one
        begun = time.monotonic()
        rows, effects = self._table.take()
        offsets, self._offsets = self._offsets, {}
        read, self._read = self._read, []
        await self._ownership.ensure()  # 1. who has lost its partitions has nothing more to say
        await self._effects.send(effects)  # 2. nothing counts as told before it is
        await self._ownership.ensure()  # and nobody else may have read the changelog as complete meanwhile
        last, strangers = await self._changelog.append(rows)  # 3. the state survives the loss of this disk
        if strangers:
            await self._ownership.prove()  # or we are the stranger, and what is on our disk is the past
        for partition, end in last.items():
            self._rows.write(partition, rows[partition], end)  # 4. and is read from here, with its offset
        await self._put_right(strangers)
        self._table.written()
        if self._observer is not None:
            self._observer.visible(read, len(effects))
        await self._ownership.commit(offsets)  # 5. only now the frames are not needed any more
        if self._observer is not None:
            self._observer.committed(time.monotonic() - begun)
        self._broken = False

    async def _put_right(self, keys: Mapping[int, set[bytes]]) -> None:
        """Write rows to the changelog again, as they stand in the database, until nobody interferes."""
        while keys:
            rows: dict[int, Rows] = {}
            for partition, its_keys in keys.items():
                ordered = sorted(its_keys)
                logger.warning(
                    "partition %d: %d rows of the changelog are put right", partition, len(ordered)
                )
                rows[partition] = dict(zip(ordered, self._rows.get_many(partition, ordered), strict=True))
            last, keys = await self._changelog.append(rows)
            for partition, end in last.items():
                self._rows.write(partition, {}, end)
