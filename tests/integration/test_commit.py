"""The commit of the saga table: state before offsets, and nothing after a failure."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from rocksdict import Options, Rdict

from saga.core.envelope import read_envelope
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.facts import NOON_MS, event
from tests.integration.tracker_load import read
from tracker.core.advance import World
from tracker.core.effect import LIFECYCLE_TOPIC, Effect
from tracker.core.flow import Between, Flow, Flows
from tracker.core.frame import CommandSeen, Fact, Watermark
from tracker.core.subscriptions import Subscriptions
from tracker.runtime.effects import Effects as KafkaEffects
from tracker.store.cache import SagaCache
from tracker.store.changelog import Changelog
from tracker.store.commit import Commit, CommitBroken, Effects
from tracker.store.rocks import OFFSET_KEY, RocksRows
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


class Store:
    """The layers of the store on a topic and a database of the test's own."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, database: Rdict, effects: Effects | None = None
    ) -> None:
        self.database = database
        self.group = Group()
        rows = RocksRows(lambda _: database)
        self.world = Worldly()
        self.table = SagaTable(rows, SagaCache(0), 100_000, source_gone_ms=60_000)
        changelog = Changelog(producer, topic)
        self.commit = Commit(self.table, effects or self.world, changelog, rows, self.group)
        for _ in self.table.opening(0):
            pass

    def fold(
        self, *sagas: str, offset: int, facts: Sequence[Fact] = FACTS, world: World = WORLD, now_ms: int = -1
    ) -> None:
        if now_ms >= 0:
            self.table.observe(0, [Watermark("orders", 0, now_ms)], 0)
        self.table.fold(0, dict.fromkeys(sagas, facts), world)
        self.table.fold_due(0, world, 100)
        self.commit.folded(0, offset)


@asynccontextmanager
async def opened(
    bootstrap_servers: str, topic: str, folder: Path, effects: Effects | None = None
) -> AsyncIterator[Store]:
    await ensure_topics(KafkaSettings(bootstrap_servers=bootstrap_servers), [Topic(topic, 1)])
    database = Rdict(str(folder), Options(raw_mode=True))
    try:
        # Batches so small that one commit takes many.
        async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_batch_size=500) as producer:
            yield Store(producer, topic, database, effects)
    finally:
        database.close()


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
        assert {key: store.database[key] for key in told} == told
        assert store.database[OFFSET_KEY] == b"99"
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
        assert store.database.get(b"s-1") is None
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
        assert first.id == again.id
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
