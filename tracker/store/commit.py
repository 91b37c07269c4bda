"""The commit: folded sagas become durable, in the one order that loses nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from saga.core.errors import SagaError
from tracker.core.effect import Effect
from tracker.store.changelog import Changelog
from tracker.store.rocks import RocksRows
from tracker.store.table import SagaTable


class CommitBroken(SagaError):
    """A commit failed half-way: what it took is in memory only. Begin anew from the committed offsets."""


class Ownership(Protocol):
    """What the consumer group knows of us."""

    async def ensure(self) -> None:
        """Return if the partitions are ours for long enough to write to them; raise otherwise."""

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit the offset of the next frame of each partition."""


class Effects(Protocol):
    """The way of what the sagas want done to the world."""

    async def send(self, effects: Sequence[Effect]) -> None:
        """Return when all of them are delivered, or refused for good; raise otherwise."""


class Commit:
    """Takes what was folded and writes it, one commit at a time.

    Effects go before the state that knows of them. A crash between the two makes the same effects
    again, from the same frames and under the same ids; the other way round it would lose them.
    """

    def __init__(
        self, table: SagaTable, effects: Effects, changelog: Changelog, rows: RocksRows, ownership: Ownership
    ) -> None:
        self._table = table
        self._effects = effects
        self._changelog = changelog
        self._rows = rows
        self._ownership = ownership
        self._lock = asyncio.Lock()
        self._offsets: dict[int, int] = {}
        self._broken = False

    def folded(self, partition: int, offset: int) -> None:
        """The frame at this offset has been folded into the table."""
        self._offsets[partition] = offset + 1

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
            self._offsets.clear()  # of what was folded meanwhile nothing may be committed
            self._table.forget()

    async def _commit(self) -> None:
        if self._broken:
            raise CommitBroken("an earlier commit of the saga table failed")
        if not self._offsets:
            return
        self._broken = True  # until it is done: a cancelled commit is a broken one
        rows, effects = self._table.take()
        offsets, self._offsets = self._offsets, {}
        await self._ownership.ensure()  # 1. who has lost its partitions has nothing more to say
        await self._effects.send(effects)  # 2. nothing counts as told before it is
        await self._ownership.ensure()  # and nobody else may have read the changelog as complete meanwhile
        ends = await self._changelog.append(rows)  # 3. the state survives the loss of this disk
        for partition, end in ends.items():
            self._rows.write(partition, rows[partition], end)  # 4. and is read from here, with its offset
        self._table.written()
        await self._ownership.commit(offsets)  # 5. only now the frames are not needed any more
        self._broken = False
