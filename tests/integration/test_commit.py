"""The commit of the saga table: state before offsets, and nothing after a failure."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from saga.core.envelope import read_envelope
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics, reader
from saga.runtime.settings import KafkaSettings
from tests.facts import NOON_MS, event
from tests.integration.tracker_load import read
from tracker.core.advance import World
from tracker.core.effect import LIFECYCLE_TOPIC, Effect, Reply
from tracker.core.flow import Between, Flow, Flows
from tracker.core.frame import CommandSeen, Fact, Watermark
from tracker.core.subscriptions import Subscriptions
from tracker.runtime.effects import Effects as KafkaEffects
from tracker.runtime.restore import keys_between
from tracker.store.cache import SagaCache
from tracker.store.changelog import Changelog
from tracker.store.commit import Commit, CommitBroken, Effects
from tracker.store.rocks import RocksRows
from tracker.store.table import SagaTable

pytestmark = pytest.mark.kafka

FACTS = [event("e-1", "order.placed")]
COMMAND = CommandSeen("c-1", "note", "ada", "look at this", NOON_MS, "", True)
WORLD = World(Flows(), Subscriptions(), NOON_MS)


class Group:
    """What the consumer group would say: it keeps the offsets, or has gone on without us."""

    def __init__(self) -> None:
        self.ours = True
        self.ours_for = 1_000
        self.committed: dict[int, int] = {}

    async def ensure(self) -> None:
        self.ours_for -= 1
        if not self.ours or self.ours_for < 0:
            raise ConnectionError("not a member")

    async def prove(self) -> None:
        await self.ensure()

    async def commit(self, offsets: Mapping[int, int]) -> None:
        self.committed.update(offsets)


class Worldly:
    """Takes effects, and may fail at it."""

    def __init__(self) -> None:
        self.there = True
        self.sent: list[Effect] = []

    async def send(self, effects: Sequence[Effect]) -> None:
        if not self.there:
            raise ConnectionError("no broker")
        self.sent.extend(effects)


def changelog_of(producer: AIOKafkaProducer, topic: str) -> Changelog:
    settings = KafkaSettings(bootstrap_servers=producer.client._bootstrap_servers)
    return Changelog(producer, topic, keys_between(topic, lambda: reader(settings)))


class Store:
    """The layers of the store on a topic and a database of the test's own."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, rows: RocksRows, effects: Effects | None = None
    ) -> None:
        self.rows = rows
        self.group = Group()
        self.world = Worldly()
        self.table = SagaTable(rows, SagaCache(0), 100_000, source_gone_ms=60_000)
        self.changelog = changelog_of(producer, topic)
        self.commit = Commit(self.table, effects or self.world, self.changelog, rows, self.group)
        for _ in self.table.opening(0):
            pass

    def fold(
        self, *sagas: str, offset: int, facts: Sequence[Fact] = FACTS, world: World = WORLD, now_ms: int = -1
    ) -> None:
        if now_ms >= 0:
            self.table.observe(0, [Watermark("orders", 0, now_ms)], 0, 0)
        self.table.fold(0, dict.fromkeys(sagas, facts), world)
        self.table.fold_due(0, world, 100)
        self.commit.folded(0, offset)


@asynccontextmanager
async def opened(
    bootstrap_servers: str, topic: str, folder: Path, effects: Effects | None = None
) -> AsyncIterator[Store]:
    await ensure_topics(KafkaSettings(bootstrap_servers=bootstrap_servers), [Topic(topic, 1)])
    rows = RocksRows(folder, topic)
    rows.open(0)
    try:
        # Batches so small that one commit takes many.
        async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_batch_size=500) as producer:
            yield Store(producer, topic, rows, effects)
    finally:
        rows.close()


@pytest.fixture
def topic() -> str:
    return f"changelog-{uuid4()}"


async def test_a_commit_is_on_the_topic_and_on_disk(
    bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    sagas = [f"s-{number}" for number in range(100)]
    async with opened(bootstrap_servers, topic, tmp_path / "db") as store:
        store.fold(*sagas, offset=41)
        await store.commit.commit()

        told = {record.key: record.value for record in await read(bootstrap_servers, topic)}
        assert set(told) == {saga.encode() for saga in sagas}
        assert store.rows.get_many(0, list(told)) == list(told.values())
        assert store.rows.open(0) == 100
        assert store.group.committed == {0: 42}


async def test_a_frame_without_news_is_committed_too(
    bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    async with opened(bootstrap_servers, topic, tmp_path / "db") as store:
        store.fold(offset=7)
        await store.commit.commit()

        assert store.group.committed == {0: 8}
        assert await read(bootstrap_servers, topic) == []


async def test_who_lost_its_partitions_writes_nothing(
    bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    async with opened(bootstrap_servers, topic, tmp_path / "db") as store:
        store.group.ours = False
        store.fold("s-1", offset=1)
        with pytest.raises(ConnectionError):
            await store.commit.commit()

        assert await read(bootstrap_servers, topic) == []
        assert store.rows.get_many(0, [b"s-1"]) == [None]
        assert store.group.committed == {}


async def test_after_a_failed_commit_none_follows(bootstrap_servers: str, topic: str, tmp_path: Path) -> None:
    async with opened(bootstrap_servers, topic, tmp_path / "db") as store:
        store.group.ours = False
        store.fold("s-1", offset=1)
        with pytest.raises(ConnectionError):
            await store.commit.commit()
        store.group.ours = True
        store.fold("s-2", offset=2)

        with pytest.raises(CommitBroken):
            await store.commit.commit()
        with pytest.raises(CommitBroken):
            await store.commit.give_up()
        assert store.group.committed == {}


async def test_partitions_are_given_up_with_everything_written(
    bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    async with opened(bootstrap_servers, topic, tmp_path / "db") as store:
        store.fold("s-1", offset=1)
        await store.commit.give_up()
        await store.commit.commit()

        assert store.group.committed == {0: 2}
        assert len(await read(bootstrap_servers, topic)) == 1
        assert store.table.dirty_count == 0


async def test_effects_are_sent_before_the_state_that_knows_of_them(
    bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    """A crash between the two is a commit that fails there: the next one makes the same effects again."""
    async with opened(bootstrap_servers, topic, tmp_path / "db") as store:
        store.world.there = False
        store.fold("s-1", offset=1)
        store.fold("s-2", offset=2, facts=[COMMAND])
        with pytest.raises(ConnectionError):
            await store.commit.commit()

        assert await read(bootstrap_servers, topic) == []
        assert store.group.committed == {}

    async with opened(bootstrap_servers, topic, tmp_path / "db") as store:
        for _ in range(2):  # the frame is read again, and again after a commit whose offset was lost
            store.fold("s-1", offset=1)
            store.fold("s-2", offset=2, facts=[COMMAND])
            await store.commit.commit()

        first, again = store.world.sent
        assert isinstance(first, Reply)
        assert first == again
        assert len(await read(bootstrap_servers, topic)) == 1


async def test_who_lost_its_partitions_has_nothing_more_to_say(
    bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    async with opened(bootstrap_servers, topic, tmp_path / "db") as store:
        store.group.ours = False
        store.fold("s-2", offset=2, facts=[COMMAND])
        with pytest.raises(ConnectionError):
            await store.commit.commit()

        assert store.world.sent == []


async def test_a_crash_between_effects_and_state_tells_the_same_again(
    bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    sagas = [f"{topic}-{number}" for number in range(10)]
    flow = Flow("order", 1, "order.placed", ("never",), rules=(Between("on-time", 5, "order.placed"),))
    world = World(Flows((flow,)), Subscriptions(), NOON_MS)

    async def run(store: Store) -> None:
        store.fold(*sagas, offset=1, world=world, now_ms=NOON_MS)
        store.fold(offset=2, world=world, now_ms=NOON_MS + 10)
        await store.commit.commit()

    async with KafkaEffects(KafkaSettings(bootstrap_servers=bootstrap_servers)) as effects:
        async with opened(bootstrap_servers, topic, tmp_path / "db", effects) as store:
            store.group.ours_for = 1  # until the effects are sent, and not until the state is written
            with pytest.raises(ConnectionError):
                await run(store)
            assert await read(bootstrap_servers, topic) == []
        async with opened(bootstrap_servers, topic, tmp_path / "db", effects) as store:
            await run(store)

    told: dict[str, list[str]] = defaultdict(list)
    for record in await read(bootstrap_servers, LIFECYCLE_TOPIC):
        envelope = read_envelope(record.headers, record_time_ms=0)
        if envelope.type == "saga.breached" and envelope.saga in sagas:
            told[envelope.saga].append(envelope.id)
    assert set(told) == set(sagas)
    assert {(len(ids), len(set(ids))) for ids in told.values()} == {(2, 1)}


async def test_a_removed_row_is_a_tombstone_on_the_topic(bootstrap_servers: str, topic: str) -> None:
    await ensure_topics(KafkaSettings(bootstrap_servers=bootstrap_servers), [Topic(topic, 1)])
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        changelog = changelog_of(producer, topic)
        assert await changelog.append({0: {b"s-1": b"one", b"s-2": b"two"}}) == ({0: 1}, {})
        assert await changelog.append({0: {b"s-2": None}}) == ({0: 2}, {})

    records = [(record.key, record.value) for record in await read(bootstrap_servers, topic)]
    assert records == [(b"s-1", b"one"), (b"s-2", b"two"), (b"s-2", None)]


async def test_what_a_stopped_tracker_writes_later_is_put_right(
    bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    async with (
        opened(bootstrap_servers, topic, tmp_path / "db") as store,
        AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as stopped,
    ):
        store.fold("s-1", "s-2", "s-3", offset=0)
        await store.commit.commit()
        truth = {record.key: record.value for record in await read(bootstrap_servers, topic)}

        for key, value in ((b"s-1", b"of the past"), (b"s-2", None), (b"s-9", b"nobody knows it")):
            await stopped.send_and_wait(topic, value, key=key, partition=0)
        store.fold("s-4", offset=1)
        await store.commit.commit()

        told = {record.key: record.value for record in await read(bootstrap_servers, topic)}
        assert {key: told[key] for key in truth} == truth
        assert told[b"s-9"] is None
        assert store.rows.open(0) == len(await read(bootstrap_servers, topic))


async def test_a_stopped_tracker_that_goes_on_keeps_its_disk_as_it_was(
    bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    async with opened(bootstrap_servers, topic, tmp_path / "stopped") as stopped:
        stopped.fold("s-1", offset=0)
        await stopped.commit.commit()
        async with opened(bootstrap_servers, topic, tmp_path / "owner") as owner:
            owner.changelog.begin(0, 1)
            owner.fold("s-1", "s-2", offset=1)
            await owner.commit.commit()
            stopped.fold("s-3", offset=1)
            stopped.group.ours_for = 2  # it believes so until it sees what others have written
            with pytest.raises(ConnectionError):
                await stopped.commit.commit()
            assert stopped.rows.open(0) == 1, "so it is restored from before what it has not read"
            owner.fold("s-4", offset=2)
            await owner.commit.commit()

        told = {record.key: record.value for record in await read(bootstrap_servers, topic)}
        assert set(told) == {b"s-1", b"s-2", b"s-3", b"s-4"}
        assert told[b"s-3"] is None
