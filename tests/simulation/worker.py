"""Processes put together from the real parts: `Collector` and `Tracker`, on clients of the simulation."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path as Folder
from typing import Any
from zlib import crc32

from saga.core.pause import PAUSED_TOPIC
from saga.runtime.kafka import KafkaError, TopicPartition
from tests.simulation.clients import Producer
from tests.simulation.disk import Disk, MemoryRows
from tests.simulation.faust import FaustApp
from tests.simulation.group import Group
from tests.simulation.log import Record
from tests.simulation.loop import Process
from tests.simulation.network import Network
from tests.simulation.plan import BANK_KEYS, BANK_TOPIC, DELAY_MS, SESSION_MS, SILENT_MORE_MS, SOURCE_GONE_MS
from tests.simulation.world import ANNOUNCEMENTS
from tracker.core.advance import World
from tracker.core.cloudevent import cloud_event
from tracker.core.correlation import Path, Rule, Rules
from tracker.core.effect import ALERTS_TOPIC, ANSWERS_TOPIC, LIFECYCLE_TOPIC, Effect, HandOn, Publish
from tracker.core.flow import Flows
from tracker.core.retention import Retention
from tracker.core.subscriptions import Subscriptions
from tracker.runtime.announcements import Announcements
from tracker.runtime.app import TakeFrame
from tracker.runtime.effects import Effects, NotDelivered
from tracker.runtime.handing import hand_on
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.settings import TrackerSettings
from tracker.store.rocks import RocksRows

OWN_TOPICS = (LIFECYCLE_TOPIC, ALERTS_TOPIC, ANSWERS_TOPIC, PAUSED_TOPIC)

SETTINGS = TrackerSettings(
    bootstrap_servers="simulated",
    state_dir=Folder("simulated"),
    watermark_delay_ms=DELAY_MS,
    idle_frame_ms=1_000,
    commit_interval_ms=400,
    source_gone_ms=SOURCE_GONE_MS,
    session_timeout_ms=SESSION_MS,
    cached_sagas=3,
    frame_steps=4,
)


BANK = Rules(
    [
        Rule(
            "bank",
            1,
            (BANK_TOPIC,),
            (),
            (Path(("type",)),),
            keys=tuple((name, (Path((name,)),)) for name in BANK_KEYS),
        )
    ]
)


class SimulatedAnnouncements(Announcements):
    """All services have announced themselves long ago."""

    def __init__(self) -> None:
        self.subscriptions = Subscriptions(ANNOUNCEMENTS)

    def topics(self) -> frozenset[str]:
        return frozenset(announcement.service for announcement in ANNOUNCEMENTS)


class SimulatedKnowledge(Knowledge):
    """The flow is known, and the clock is that of the simulation."""

    def __init__(self, network: Network, flows: Flows, kept_ms: int) -> None:
        self._network = network
        self._known = flows
        self._kept = Retention(kept_ms, kept_ms + SILENT_MORE_MS) if kept_ms >= 0 else Retention()
        self._subscriptions = Subscriptions(ANNOUNCEMENTS)

    async def ready(self) -> None:
        pass

    def payloads(self) -> frozenset[str]:
        return self._known.payloads

    def rules(self) -> Rules:
        return BANK

    def world(self) -> World:
        return World(self._known, self._subscriptions, self._network.loop.now_ms, self._kept)


class SimulatedEffects(Effects):
    """The way of effects: all of a commit at once, each partition for itself, and a crash may be between."""

    def __init__(self, network: Network, process: Process, producer: Producer) -> None:
        self._network = network
        self._process = process
        self._producer: Any = producer

    async def send(self, effects: Sequence[Effect]) -> None:
        try:
            await hand_on(self._producer, [effect for effect in effects if isinstance(effect, HandOn)])
        except KafkaError as error:
            raise NotDelivered("saga.steps takes nothing") from error
        deliveries = []
        for effect in effects:
            if isinstance(effect, HandOn):
                continue
            topic, key, value, headers = cloud_event(effect)
            down = self._network.down_until_ms.get(topic, 0) > self._network.loop.now_ms
            if down and isinstance(effect, Publish):
                continue  # a business topic that takes nothing now: it is asked for again
            deliveries.append(self._write(topic, key, value, headers))
        for outcome in await asyncio.gather(*deliveries, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise NotDelivered("the topics of the tracker take nothing")

    def _write(
        self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> "asyncio.Future[Any]":
        partitions = self._network.log.topics[topic]
        partition = partitions[crc32(key) % len(partitions)]

        def append() -> int:
            now_ms = self._network.loop.now_ms
            return partition.append(now_ms, now_ms, key, value, headers)

        return self._network.write(self._process, topic, partition.number, append)


class ChangelogReader:
    """A consumer without a group, as `Restore` uses it."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process
        self._positions: dict[TopicPartition, int] = {}

    def assign(self, sources: Collection[TopicPartition]) -> None:
        self._positions = dict.fromkeys(sources, 0)

    def unsubscribe(self) -> None:
        self._positions = {}

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    def seek(self, source: TopicPartition, offset: int) -> None:
        self._positions[source] = offset

    async def position(self, source: TopicPartition) -> int:
        return self._positions[source]

    async def beginning_offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(sources, 0)

    async def end_offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = list(sources)
        log = self._network.log
        found: dict[TopicPartition, int] = await self._network.ask(
            self._process, lambda: {source: log.partition(*source).end for source in wanted}
        )
        return found

    async def getmany(self, timeout_ms: int, max_records: int = 7) -> dict[TopicPartition, list[Record]]:
        positions = dict(self._positions)
        log = self._network.log
        answers: dict[TopicPartition, tuple[list[Record], int]] = await self._network.ask(
            self._process,
            lambda: {
                source: log.partition(*source).read(offset, min(7, max_records), committed=False)
                for source, offset in positions.items()
            },
        )
        found = {}
        for source, (records, following) in answers.items():
            if self._positions.get(source) == positions[source]:
                self._positions[source] = following
                found[source] = records
        if not any(found.values()):
            await asyncio.sleep(timeout_ms / 1000)
        return found


class SimulatedPlatform:
    """What a tracker stands on here."""

    def __init__(self, network: Network, group: Group, process: Process, disk: Disk, partitions: int) -> None:
        self._network = network
        self._group = group
        self._process = process
        self._disk = disk
        self._partitions = partitions
        self.faust: FaustApp

    @property
    def partitions(self) -> int:
        return self._partitions

    def app(self, take_frame: TakeFrame) -> Any:
        self.faust = FaustApp(self._network, self._group, self._process, take_frame)
        return self.faust

    def rows(self) -> RocksRows:
        return MemoryRows(self._disk)

    @asynccontextmanager
    async def changelog(self) -> AsyncIterator[Any]:
        yield ChangelogReader(self._network, self._process)

    async def first_offset(self, partition: int, offset: int) -> int:
        await self._network.ask(self._process, lambda: None)
        return offset
