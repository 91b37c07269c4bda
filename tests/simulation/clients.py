"""Clients of the log as our runtime knows them from aiokafka: a consumer of sources, a producer."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from saga.runtime.kafka import ConsumerRebalanceListener, TopicPartition
from tests.simulation.group import Group
from tests.simulation.log import Record
from tests.simulation.loop import Process
from tests.simulation.network import Network

_LONG_POLL_MS = 400


class _State:
    """What a consumer knows of a partition, by the names that aiokafka has for it."""

    has_valid_position = True

    def __init__(self, position: int) -> None:
        self.position = position
        self.highwater: int | None = None
        self.lso: int | None = None
        self.timestamp: int | None = None
        self.fetched: list[Record] = []
        self.next = position


class _Assignment:
    def __init__(self, states: Mapping[TopicPartition, _State]) -> None:
        self.states = states
        self.tps = tuple(states)

    def state_value(self, source: TopicPartition) -> _State:
        return self.states[source]


class _Subscription:
    """`consumer._subscription` and its `subscription`: one object here."""

    def __init__(self) -> None:
        self.assignment = _Assignment({})

    @property
    def subscription(self) -> "_Subscription":
        return self


class _Answer(NamedTuple):
    """What a broker says of a partition when it is asked for records."""

    records: list[Record]
    next: int
    stable_end: int
    end: int


class SourceConsumer:
    """A consumer in a group. It fetches by itself; what it has fetched waits for `getmany`."""

    def __init__(
        self, network: Network, group: Group, process: Process, topics: Mapping[str, int], records_max: int
    ) -> None:
        self.name = process.name
        self.process = process
        self._network = network
        self._loop = network.loop
        self._group = group
        self._topics = topics
        self._records_max = records_max
        self._subscription = _Subscription()
        self._subscribed: tuple[str, ...] = ()
        self._listener: ConsumerRebalanceListener | None = None
        self._generation = -1
        self._rejoining = False
        self._changed = asyncio.Event()
        self._fetched = asyncio.Event()
        self._taken = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._fetching = asyncio.create_task(self._fetch())

    async def stop(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
        await self._network.ask(self.process, lambda: self._group.close(self))

    async def topics(self) -> set[str]:
        return set(self._topics)

    def subscribe(self, topics: Collection[str], listener: ConsumerRebalanceListener) -> None:
        self._subscribed = tuple(topics)
        self._listener = listener
        self._network.ask(self.process, lambda: self._group.join(self))

    def subscription(self) -> tuple[str, ...]:
        return self._subscribed

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._topics.get(topic, 0)))

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._subscription.assignment.tps)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        generation = self._generation
        await self._network.ask(self.process, lambda: self._group.commit(self, generation, offsets))

    async def getmany(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]:
        found = self._take(max_records)
        if not found:
            self._fetched.clear()
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._fetched.wait()
            except TimeoutError:
                pass
            found = self._take(max_records)
        return found

    def _take(self, count: int) -> dict[TopicPartition, list[Record]]:
        found = {}
        if self._rejoining:
            return {}
        for source, state in self._subscription.assignment.states.items():
            if state.fetched and count > 0:
                taken, state.fetched = state.fetched[:count], state.fetched[count:]
                count -= len(taken)
                found[source] = taken
                state.position = taken[-1].offset + 1
            if not state.fetched:
                state.position = state.next
        self._taken.set()
        return found

    async def _fetch(self) -> None:
        while True:
            assignment = self._subscription.assignment
            wanted = {source: state.next for source, state in assignment.states.items() if not state.fetched}
            if self._rejoining or not wanted:
                self._changed.clear()
                self._taken.clear()
                idle = self._rejoining or not assignment.states
                await (self._changed if idle else self._taken).wait()
                continue
            answers = await self._long_poll(wanted)
            if assignment is not self._subscription.assignment or self._rejoining:
                continue
            now_ms = self._loop.now_ms  # as aiokafka does: when it looks at the answer
            for source, answer in answers.items():
                state = assignment.states[source]
                state.fetched = answer.records
                state.next = answer.next
                state.lso, state.highwater, state.timestamp = answer.stable_end, answer.end, now_ms
                if not answer.records:
                    state.position = answer.next
            if any(answer.records for answer in answers.values()):
                self._fetched.set()

    def _long_poll(self, wanted: Mapping[TopicPartition, int]) -> "asyncio.Future[Any]":
        """The brokers answer when there is something, or after a while."""
        future: asyncio.Future[Any] = self._loop.create_future()
        state = {"answered": False}
        partitions = [self._network.log.partition(*source) for source in wanted]

        def answer(late: bool = False) -> None:
            if state["answered"]:
                return
            answers = self._answers(wanted)
            if late or any(found.records for found in answers.values()):
                state["answered"] = True
                self._loop.outside(self._network.way_ms(self.process), _give, future, answers)
            else:
                for partition in partitions:
                    partition.waiting.append(answer)

        self._loop.outside(self._network.way_ms(self.process), answer)
        self._loop.outside(_LONG_POLL_MS, answer, True)
        return future

    def _answers(self, wanted: Mapping[TopicPartition, int]) -> dict[TopicPartition, _Answer]:
        answers = {}
        for source, offset in wanted.items():
            if self._network.stalled_until_ms.get(source, 0) > self._loop.now_ms:
                continue
            partition = self._network.log.partition(*source)
            end = partition.stable_end
            found = partition.read(offset, self._records_max) if offset < end else ([], offset)
            answers[source] = _Answer(*found, end, partition.end)
        return answers

    # As a member of its group.

    def begin_rejoin(self) -> None:
        if not self._rejoining:
            self._rejoining = True
            self.process.keep(asyncio.ensure_future(self._rejoin()))

    async def _rejoin(self) -> None:
        if self._listener is not None:
            with suppress(Exception):  # as aiokafka does, which logs it
                await self._listener.on_partitions_revoked(set(self.assignment()))
        await self._network.ask(self.process, lambda: self._group.joined(self))

    def assign(self, generation: int, partitions: frozenset[TopicPartition]) -> None:
        committed = self._group.committed
        self._generation = generation
        self._rejoining = False
        self._subscription.assignment = _Assignment(
            {source: _State(committed.get(source, 0)) for source in sorted(partitions)}
        )
        self._changed.set()
        self._taken.set()


class _Batch:
    """Records on their way. Small, so that a commit has several."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []

    def append(self, *, key: bytes, value: bytes | None, timestamp: int | None) -> object | None:
        if len(self.records) >= 3:
            return None
        self.records.append((key, value))
        return self

    def record_count(self) -> int:
        return len(self.records)


class _Delivered(NamedTuple):
    offset: int


class Producer:
    """What a collector sends frames with, and a tracker its rows."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process

    async def partitions_for(self, topic: str) -> set[int]:
        return {partition.number for partition in self._network.log.topics[topic]}

    async def send(self, topic: str, value: bytes, *, partition: int) -> "asyncio.Future[Any]":
        return self._written(topic, partition, [(None, value)])

    def create_batch(self) -> _Batch:
        return _Batch()

    async def send_batch(self, batch: _Batch, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        return self._written(topic, partition, batch.records)

    def _written(
        self, topic: str, partition: int, records: Collection[tuple[bytes | None, bytes | None]]
    ) -> "asyncio.Future[Any]":
        def append() -> _Delivered:
            place = self._network.log.partition(topic, partition)
            now_ms = self._network.loop.now_ms
            offsets = [place.append(now_ms, now_ms, key, value) for key, value in records]
            return _Delivered(offsets[0])

        return self._network.write(self._process, topic, partition, append)


def _give(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)
