"""From the changelog to the databases on a real Kafka: all of it, the rest, and nothing that is wrong."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from tests.facts import event
from tests.integration.tracker_load import read
from tracker.core.clock import CLOCK_ROW
from tracker.core.fold import fold
from tracker.core.saga import SAGA_VERSION, encode_saga
from tracker.runtime.restore import Restore, RestoreFailed, changelog_consumer, dead_lettered, keys_between
from tracker.runtime.settings import TrackerSettings
from tracker.store.changelog import Changelog
from tracker.store.rocks import RocksRows

pytestmark = pytest.mark.kafka

PARTITIONS = 3
RESTORED_SECONDS = 20


def row(saga: str, events: int = 1) -> bytes:
    facts = [event(f"{saga}/{number}", f"type-{number}") for number in range(events)]
    return encode_saga(fold(None, saga, facts))


class Table:
    """A changelog topic of the test's own, and databases that are restored from it."""

    def __init__(self, settings: TrackerSettings, topic: str, producer: AIOKafkaProducer) -> None:
        self.settings = settings
        self.topic = topic
        self.producer = producer
        self.changelog = Changelog(producer, topic, keys_between(topic, lambda: changelog_consumer(settings)))
        self.rows = RocksRows(settings.state_dir, topic)
        self.restore = Restore(
            topic,
            self.rows,
            partial(changelog_consumer, settings),
            range(PARTITIONS) if settings.standby else range(0),
        )
        self.running: asyncio.Task[None]

    async def tell(self, partition: int, rows: Mapping[bytes, bytes | None]) -> None:
        await self.changelog.append({partition: rows})

    async def restored(self, *partitions: int) -> None:
        self.restore.begin(partitions)
        for partition in partitions:
            async with asyncio.timeout(RESTORED_SECONDS):
                assert await self.restore.restored(partition)

    def all(self, partition: int) -> dict[bytes, bytes]:
        return dict(self.rows.scan(partition, None, 100_000))


@pytest.fixture
def topic() -> str:
    return f"changelog-{uuid4()}"


@pytest.fixture
def settings(bootstrap_servers: str, tmp_path: Path) -> TrackerSettings:
    return TrackerSettings(bootstrap_servers=bootstrap_servers, state_dir=tmp_path)


@asynccontextmanager
async def running(settings: TrackerSettings, topic: str) -> AsyncIterator[Table]:
    await ensure_topics(settings, [Topic(topic, PARTITIONS)])
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        table = Table(settings, topic, producer)
        task = table.running = asyncio.create_task(table.restore.run())
        try:
            yield table
            if task.done():
                await task
        finally:
            task.cancel()
            await asyncio.wait((task,))
            table.rows.close()


async def test_a_lost_disk_is_made_anew(settings: TrackerSettings, topic: str) -> None:
    async with running(settings, topic) as table:
        truth: dict[int, dict[bytes, bytes]] = {}
        for partition in range(PARTITIONS):
            truth[partition] = {
                f"s-{partition}-{n}".encode(): row(f"s-{partition}-{n}") for n in range(partition * 500)
            }
            truth[partition][CLOCK_ROW.encode()] = b"a clock"
            await table.tell(partition, truth[partition])
        await table.restored(0, 1, 2)
        assert {partition: table.all(partition) for partition in range(PARTITIONS)} == truth


async def test_the_last_of_several_rows_counts_and_a_tombstone_removes(
    settings: TrackerSettings, topic: str
) -> None:
    async with running(settings, topic) as table:
        await table.tell(0, {b"s-1": row("s-1"), b"s-2": row("s-2"), b"s-3": row("s-3")})
        await table.tell(0, {b"s-2": None, b"s-3": row("s-3", 2)})
        await table.restored(0)
        assert table.all(0) == {b"s-1": row("s-1"), b"s-3": row("s-3", 2)}


async def test_a_kept_disk_reads_the_rest_only(settings: TrackerSettings, topic: str) -> None:
    async with running(settings, topic) as table:
        await table.tell(0, {b"s-1": row("s-1"), b"s-2": row("s-2")})
        await table.restored(0)
        table.rows.write(0, {b"s-1": b"not what the changelog says"}, 1)  # so that reading it again shows
    async with running(settings, topic) as table:
        await table.tell(0, {b"s-2": row("s-2", 2)})
        await table.restored(0)
        assert table.all(0) == {b"s-1": b"not what the changelog says", b"s-2": row("s-2", 2)}
        assert table.rows.open(0) == 3


async def test_partitions_come_and_go(settings: TrackerSettings, topic: str) -> None:
    async with running(settings, topic) as table:
        for number in range(5):
            await table.tell(1, {b"s-%d" % number: row(f"s-{number}")})
            await table.restored(0, 1)
            table.restore.end()
            assert not await table.restore.restored(1)
            table.rows.close()
            await table.restored(1)
            assert len(table.all(1)) == number + 1
            table.restore.end()
            table.rows.close()


async def test_who_waits_is_told_that_the_partition_has_gone(settings: TrackerSettings, topic: str) -> None:
    async with running(settings, topic) as table:
        table.restore.begin([0])
        waiting = asyncio.create_task(table.restore.restored(0))
        await asyncio.sleep(0)
        table.restore.end()
        assert not await waiting


async def test_a_row_that_cannot_be_read_is_set_aside_and_what_was_before_it_stays(
    settings: TrackerSettings, topic: str
) -> None:
    async with running(settings, topic) as table:
        await table.tell(0, {b"s-1": row("s-1"), b"s-2": row("s-2"), b"s-3": row("s-3")})
        await table.tell(0, {b"s-1": b"\xc1 random", b"s-2": row("s-4"), b"s-5": b"", b"s-3": b"\xc1"})
        await table.tell(0, {b"s-3": row("s-3", 2)})
        await table.restored(0)
        assert table.all(0) == {b"s-1": row("s-1"), b"s-2": row("s-2"), b"s-3": row("s-3", 2)}

        unreadable = table.restore.unreadable(0)
        assert set(unreadable) == {b"s-1", b"s-2", b"s-5"}, "s-3 was written again since"
        assert not table.restore.unreadable(0)
        await dead_lettered(settings, table.producer, unreadable)
        letters = {
            record.key: (record.value, dict(record.headers))
            for record in await read(settings.bootstrap_servers, "saga.dlq.tracker")
            if dict(record.headers)["__streams.errors.topic"] == topic.encode()
        }
        assert {key: value for key, (value, _) in letters.items()} == {
            b"s-1": b"\xc1 random",
            b"s-2": row("s-4"),
            b"s-5": b"",
        }
        assert letters[b"s-2"][1]["__streams.errors.offset"] == b"4"
        assert b"it is the saga s-4" in letters[b"s-2"][1]["__streams.errors.message"]


async def test_rows_of_another_version_stop_the_tracker(settings: TrackerSettings, topic: str) -> None:
    newer = bytes([*row("s-1")[:1], SAGA_VERSION + 1, *row("s-1")[2:]])
    with pytest.raises(RestoreFailed, match=f"format version {SAGA_VERSION + 1}"):
        await _refused(settings, topic, {b"s-1": newer})


async def test_a_changelog_of_somebody_else_stops_the_tracker(settings: TrackerSettings, topic: str) -> None:
    with pytest.raises(RestoreFailed, match="are no sagas"):
        await _refused(settings, topic, {b"key-%d" % number: b"{}" for number in range(2_000)})


async def _refused(settings: TrackerSettings, topic: str, rows: Mapping[bytes, bytes]) -> None:
    async with running(settings, topic) as table:
        await table.tell(0, rows)
        table.restore.begin([0])
        await asyncio.wait((table.running,), timeout=RESTORED_SECONDS)


async def test_a_database_ahead_of_its_changelog_is_rebuilt(settings: TrackerSettings, topic: str) -> None:
    async with running(settings, topic) as table:
        table.rows.open(0)
        table.rows.write(0, {b"s-9": row("s-9")}, 1_000)  # of a topic that was deleted and made anew
        await table.tell(0, {b"s-1": row("s-1")})
        await table.restored(0)
        assert table.all(0) == {b"s-1": row("s-1")}


async def test_a_standby_follows_the_partitions_of_others(settings: TrackerSettings, topic: str) -> None:
    async with running(settings.model_copy(update={"standby": True}), topic) as table:
        await table.restored(0)
        await table.tell(1, {b"s-1": row("s-1")})
        await table.tell(2, {b"s-2": row("s-2")})
        async with asyncio.timeout(RESTORED_SECONDS):
            while table.rows.open(1) < 1 or table.rows.open(2) < 1:
                await asyncio.sleep(0.05)
        assert table.all(2) == {b"s-2": row("s-2")}
        assert table.all(0) == {}

        await table.tell(1, {b"s-1": row("s-1", 2)})
        table.restore.end()
        await table.restored(0, 1)
        assert table.all(1) == {b"s-1": row("s-1", 2)}


async def test_what_is_ours_is_not_read_any_more(settings: TrackerSettings, topic: str) -> None:
    async with running(settings.model_copy(update={"standby": True}), topic) as table:
        await table.tell(0, {b"s-1": row("s-1")})
        await table.restored(0)
        await table.tell(0, {b"s-1": row("s-1", 2)})
        table.rows.write(
            0, {b"s-1": row("s-1", 3)}, 2
        )  # as two commits do, the second before the first is read
        await table.tell(1, {b"s-2": row("s-2")})
        async with asyncio.timeout(RESTORED_SECONDS):
            while table.rows.open(1) < 1:
                await asyncio.sleep(0.05)
        assert table.all(0) == {b"s-1": row("s-1", 3)}
