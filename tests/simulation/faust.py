"""Faust as the tracker knows it: signals of a consumer group, and a stream of frames, one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka.structs import OffsetAndMetadata

from saga.runtime.kafka import TopicPartition
from tests.simulation.group import Group
from tests.simulation.loop import Process
from tests.simulation.network import Network
from tracker.core.frame import STEPS_TOPIC
from tracker.runtime.app import TakeFrame

_FETCHED_FRAMES = 4

_Handler = Callable[..., Awaitable[None]]


class _Signal:
    def __init__(self) -> None:
        self.handlers: list[_Handler] = []

    def connect(self, handler: _Handler) -> None:
        self.handlers.append(handler)

    def disconnect(self, handler: _Handler) -> None:
        self.handlers.remove(handler)


class FaustApp:
    """A member of the tracker's group. It is its own consumer, thread and coordinator."""

    started = True
    crashed = False
    crash_reason: Exception | None = None
    _pending_exception: Exception | None = None

    def __init__(self, network: Network, group: Group, process: Process, take_frame: TakeFrame) -> None:
        self.name = process.name
        self.process = process
        self.on_partitions_revoked = _Signal()
        self.on_partitions_assigned = _Signal()
        self.thread_loop = network.loop
        self.lose_fetch = False
        self._network = network
        self._group = group
        self._take_frame = take_frame
        self._generation = -1
        self._rejoining = False
        self._stopped = False
        self._turn = 0
        self._tps: frozenset[TopicPartition] = frozenset()
        self._positions: dict[TopicPartition, int] = {}
        self._read_offset: dict[Any, int | None] = {}
        self._moved = asyncio.Event()
        self._coordination_task = network.loop.create_future()  # goes on and on

    # The stream.

    async def start(self) -> None:
        self._network.ask(self.process, lambda: self._group.join(self))
        while not self._stopped:
            self._moved.clear()
            if not await self._stream():
                await self._moved.wait()

    async def stop(self) -> None:
        self._stopped = True
        self._moved.set()
        await self._network.ask(self.process, lambda: self._group.close(self))

    async def _stream(self) -> bool:
        """Fetch some frames of one partition after the other and hand them out; false if there were none."""
        fetched = []
        for source in sorted(self._positions):
            partition = self._network.log.partition(*source)
            position = self._positions[source]
            if self.lose_fetch and partition.end > position:
                self.lose_fetch = False
                position = min(partition.end, position + 2)
            records, self._positions[source] = partition.read(position, _FETCHED_FRAMES, committed=False)
            fetched += records
        if not fetched:
            for source in self._positions:
                self._network.log.partition(*source).waiting.append(self._wake)
            return False
        await asyncio.sleep(self._network.way_ms(self.process) / 1000)
        for record in fetched:
            # What a rebalance overtakes is handed out all the same.
            await self._take_frame(record.partition, record.offset, record.timestamp, record.value)
        return True

    def _wake(self) -> None:
        self._network.loop.outside(self._network.way_ms(self.process), self._moved.set)

    # As a member of its group.

    def begin_rejoin(self) -> None:
        if not self._rejoining and not self._stopped:
            self._rejoining = True
            self.process.keep(asyncio.ensure_future(self._rejoin()))

    async def _rejoin(self) -> None:
        try:
            for handler in self.on_partitions_revoked.handlers:
                await handler(self, sorted(self._tps))
        except Exception as error:
            self.crashed, self.crash_reason = True, error
            return
        await self._network.ask(self.process, lambda: self._group.joined(self))

    def assign(self, generation: int, partitions: frozenset[TopicPartition]) -> None:
        if self._stopped:
            return
        self._generation = generation
        self._rejoining = False
        self._tps = partitions
        committed = self._group.committed
        self._positions = {source: committed.get(source, 0) for source in sorted(partitions)}
        self.process.keep(asyncio.ensure_future(self._assigned()))

    async def _assigned(self) -> None:
        for handler in self.on_partitions_assigned.handlers:
            await handler(self, sorted(self._tps))
        self._moved.set()

    # As the consumer in its thread.

    @property
    def consumer(self) -> "FaustApp":
        return self

    _thread = _consumer = _coordinator = consumer

    async def _do_heartbeat(self) -> bool:
        generation = self._generation
        found: bool = await self._network.ask(self.process, lambda: self._group.heartbeat(self, generation))
        return found

    async def fetch_committed_offsets(
        self, sources: list[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        found: dict[TopicPartition, OffsetAndMetadata] = await self._network.ask(
            self.process,
            lambda: {
                source: OffsetAndMetadata(self._group.committed[source], "")
                for source in sources
                if source in self._group.committed
            },
        )
        return found

    async def beginning_offsets(self, sources: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(sources, 0)

    async def commit(self, positions: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        generation = self._generation
        offsets = {source: position.offset for source, position in positions.items()}
        await self._network.ask(self.process, lambda: self._group.commit(self, generation, offsets))

    def assignment(self) -> frozenset[TopicPartition]:
        return self._tps

    def seek(self, source: TopicPartition, offset: int) -> None:
        self._positions[source] = offset
        self._moved.set()


def steps_sources(partitions: int) -> list[TopicPartition]:
    return [TopicPartition(STEPS_TOPIC, number) for number in range(partitions)]
