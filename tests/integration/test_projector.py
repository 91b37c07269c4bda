"""The projector on a real Kafka, SQLite and PostgreSQL: nothing is lost or doubled, whatever is killed."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
from aiokafka.admin import NewPartitions
from msgspec import structs
from sqlalchemy import Engine, func, select, text

from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaProducer, Topic, admin, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.databases import DATABASES, database
from tests.facts import NOON_MS
from tests.integration.processes import Process
from tests.unit.test_flow_views import compensating, completed, late, of, open_, stuck
from tests.waiting import until
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC, encode_saga
from tracker.view.model.database import open_model
from tracker.view.model.feeds import alerts, commands, dead_letters
from tracker.view.model.freshness import freshness
from tracker.view.model.freshness import projector as projector_table
from tracker.view.model.tables import chains, positions, sagas
from tracker.view.projector.beside import BEHIND_RECORDS
from tracker.view.projector.projector import run_projector
from tracker.view.projector.settings import ProjectorSettings

WITHIN = 60.0
PARTITIONS = 3
PLAYS = [of(play) for play in (open_(), completed(), late(), compensating(), stuck())]
COMPACTED = {"cleanup.policy": "compact"}
TOPICS = [
    Topic(SAGAS_CHANGELOG_TOPIC, PARTITIONS, COMPACTED),
    Topic("saga.alerts", 2),
    Topic("saga.services", 1, COMPACTED),
    Topic("saga.commands", 1),
    Topic("saga.answers", 1),
    Topic("saga.audit", 1),
    Topic("saga.dlq.payments", 2),
]


@pytest.fixture(scope="module", params=DATABASES)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param) as url:
        yield url


class World:
    """What is published, and the truth about it in simple dicts."""

    def __init__(self, bootstrap_servers: str, seed: int) -> None:
        self.settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
        self.chance = random.Random(seed)
        self.sagas: dict[str, bytes] = {}
        self.alerts: set[str] = set()
        self.commands: set[str] = set()
        self.letters: set[tuple[str, int, int]] = set()
        self.written = 0

    async def publish(self, producer: AIOKafkaProducer, changes: int, others: float = 0.2) -> None:
        """So many changes of sagas, and what else happens meanwhile."""
        pending = []
        for _ in range(changes):
            number = self.chance.randrange(300)
            saga = f"s-{number:03}"
            value = None
            if self.chance.random() < 0.9:
                value = encode_saga(structs.replace(self.chance.choice(PLAYS), id=saga))
            self._keep(saga, value)
            at = number % PARTITIONS
            pending.append(await producer.send(SAGAS_CHANGELOG_TOPIC, value, saga.encode(), partition=at))
            if self.chance.random() < others:
                await self._others(producer, saga)
        await asyncio.gather(*pending)

    def _keep(self, saga: str, value: bytes | None) -> None:
        if value is None:
            self.sagas.pop(saga, None)
        else:
            self.sagas[saga] = value

    async def _others(self, producer: AIOKafkaProducer, saga: str) -> None:
        self.written += 1
        id_ = f"{self.written}"
        self.alerts.add(id_)
        for _ in range(self.chance.choice([1, 1, 2])):  # what is told again after a crash
            await producer.send_and_wait("saga.alerts", alert(id_, saga), saga.encode(), partition=0)
        self.commands.add(id_)
        await producer.send_and_wait("saga.commands", command(id_, saga), saga.encode())
        sent = await producer.send_and_wait("saga.dlq.payments", b"{}", headers=letter(saga))
        self.letters.add((sent.topic, sent.partition, sent.offset))


def alert(id_: str, saga: str, at_ms: int = NOON_MS) -> bytes:
    told = {"id": id_, "saga": saga, "key": "", "flow": "order", "flow_version": 1}
    return json.dumps({**told, "cause": "breach", "at_ms": at_ms, "message": "late\0"}).encode()


def command(id_: str, saga: str) -> bytes:
    told = {"id": id_, "saga": saga, "action": "note", "by": "me", "reason": "why", "at_ms": NOON_MS}
    return json.dumps(told).encode()


def letter(saga: str) -> list[tuple[str, bytes]]:
    return [
        ("ce_id", b"e-1"),
        ("ce_type", b"stock.reserved"),
        ("ce_correlationid", saga.encode()),
        ("__streams.errors.exception", b"TimeoutError"),
        ("__streams.errors.message", b"no answer"),
        ("__streams.errors.offset", b"7"),
        ("saga_dlq_service", b"payments"),
        ("saga_dlq_attempts", b"5"),
    ]


def differences(engine: Engine, world: World) -> list[str]:
    """What the database does not hold, or holds and should not."""
    with engine.connect() as connection:
        bodies = select(sagas.c.id, chains.c.value).join(chains, chains.c.number == sagas.c.number)
        kept = {id_: bytes(value) for id_, value in connection.execute(bodies)}
        rows = set(connection.execute(select(sagas.c.id)).scalars())
        told = sorted(connection.execute(select(alerts.c.id)).scalars())
        asked = sorted(connection.execute(select(commands.c.id)).scalars())
        c = dead_letters.c
        letters = sorted(connection.execute(select(c.topic, c.partition, c.offset)))
    wrong = [id_ for id_ in kept.keys() | world.sagas.keys() if kept.get(id_) != world.sagas.get(id_)]
    wrong += sorted(rows ^ world.sagas.keys())
    for found, truth in ((told, world.alerts), (asked, world.commands), (letters, world.letters)):
        if list(found) != sorted(truth):
            wrong.append(f"{len(found)} of {len(truth)}")
    return wrong


def agrees(engine: Engine, world: World) -> Callable[[], bool]:
    return lambda: not differences(engine, world)


def alive(engine: Engine) -> bool:
    with engine.connect() as connection:
        return freshness(connection, time.time_ns() // 1_000_000).alive


@asynccontextmanager
async def projector(bootstrap_servers: str, engine: Engine, **options: object) -> AsyncIterator[None]:
    stop = asyncio.Event()
    settings = ProjectorSettings(bootstrap_servers=bootstrap_servers, project_topics_ms=500)
    task = asyncio.create_task(run_projector(settings, engine, stop, **options))  # type: ignore[arg-type]
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def producing(bootstrap_servers: str) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=5) as producer:
        yield producer


@pytest.mark.kafka
async def test_what_stands_in_kafka_is_in_the_database_and_stays_current(
    broker: LocalKafka, url: str
) -> None:
    servers, engine = broker.bootstrap_servers, open_model(url)
    await ensure_topics(KafkaSettings(bootstrap_servers=servers), TOPICS)
    world = World(servers, seed=1)
    async with producing(servers) as producer:
        await world.publish(producer, 300)
        began_ms = time.time_ns() // 1_000_000
        async with projector(servers, engine):
            await asyncio.to_thread(until, agrees(engine, world), WITHIN)
            await world.publish(producer, 300)
            await asyncio.to_thread(until, agrees(engine, world), WITHIN)

            def fresh() -> bool:
                with engine.connect() as connection:
                    found = freshness(connection, time.time_ns() // 1_000_000)
                return (
                    found.as_of_ms > began_ms and not found.lag_records and found.alive and not found.building
                )

            await asyncio.to_thread(until, fresh, WITHIN)
    with engine.connect() as connection:
        assert not freshness(connection, time.time_ns() // 1_000_000).alive
    engine.dispose()


KILLS = 6


def _kill_at_work(engine: Engine, processes: list[Process], chance: random.Random) -> None:
    """Kill the one that works, again and again: the other one takes over in the middle of it."""
    for _ in range(KILLS):
        until(_more_than(engine, _written(engine)), WITHIN, what="it goes on")
        time.sleep(chance.uniform(0, 0.3))
        victim = _at_work(engine, processes)
        victim.kill()
        victim.start()


def _at_work(engine: Engine, processes: list[Process]) -> Process:
    with engine.connect() as connection:
        who = connection.scalar(select(projector_table.c.who)) or ""
    (found,) = [process for process in processes if who.endswith(f":{process.running.pid}")]
    return found


def _more_than(engine: Engine, before: int) -> Callable[[], bool]:
    return lambda: _written(engine) > before


def _written(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.sum(positions.c.next_offset))) or 0


@pytest.mark.kafka
async def test_killed_at_any_time_it_loses_and_doubles_nothing(
    broker: LocalKafka, url: str, tmp_path: Path
) -> None:
    servers, engine = broker.bootstrap_servers, open_model(url)
    await ensure_topics(KafkaSettings(bootstrap_servers=servers), TOPICS)
    seed = random.randrange(1_000_000)
    world = World(servers, seed)
    settings = {"SAGA_BOOTSTRAP_SERVERS": servers, "SAGA_DATABASE": url, "SAGA_PROJECT_INTERVAL_MS": "5"}
    processes = [Process(["saga.cli", "project"], settings, tmp_path / f"{n}.log") for n in range(2)]
    try:
        for process in processes:
            process.start()
        async with producing(servers) as producer:
            killing = asyncio.create_task(asyncio.to_thread(_kill_at_work, engine, processes, world.chance))
            while not killing.done():
                await world.publish(producer, 50)
            await killing
        await asyncio.to_thread(
            until, agrees(engine, world), WITHIN, what=f"seed {seed}: {differences(engine, world)[:3]}"
        )
        assert _at_work(engine, processes).stop() == 0
    finally:
        for process in processes:
            process.end()
        engine.dispose()
    for process in processes:
        assert "Traceback" not in process.output()


@pytest.mark.kafka
async def test_far_behind_it_is_helped_by_a_process_that_may_die(broker: LocalKafka, url: str) -> None:
    servers, engine = broker.bootstrap_servers, open_model(url)
    await ensure_topics(KafkaSettings(bootstrap_servers=servers), TOPICS)
    world = World(servers, seed=6)
    async with producing(servers) as producer:
        await world.publish(producer, BEHIND_RECORDS + 12_000, others=0)
    for dies in (True, False):
        async with projector(servers, engine, rebuild=True):
            await asyncio.to_thread(until, _helpers, WITHIN, what="it is helped")
            for helper in _helpers() if dies else ():
                helper.kill()
            await asyncio.to_thread(until, agrees(engine, world), WITHIN)
        assert not _helpers()
    engine.dispose()


def _helpers() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if _helps(each)]


def _helps(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # it has just ended
        return "tracker.view.projector.folding" in process.cmdline()
    return False


@pytest.mark.kafka
async def test_dead_letter_topics_that_come_up_are_read(broker: LocalKafka, url: str) -> None:
    servers, engine = broker.bootstrap_servers, open_model(url)
    settings = KafkaSettings(bootstrap_servers=servers)
    await ensure_topics(settings, TOPICS)

    def letters() -> list[str]:
        with engine.connect() as connection:
            return sorted(connection.execute(select(dead_letters.c.topic)).scalars())

    async with producing(servers) as producer, projector(servers, engine):
        await asyncio.to_thread(until, lambda: alive(engine), WITHIN)
        await ensure_topics(settings, [Topic("saga.dlq.late", 1)])
        await producer.send_and_wait("saga.dlq.late", b"{}", headers=letter("s-1"))
        await asyncio.to_thread(until, lambda: letters() == ["saga.dlq.late"], WITHIN)
    engine.dispose()


@pytest.mark.kafka
async def test_it_begins_anew_with_more_partitions_and_goes_on_with_what_came(
    broker: LocalKafka, url: str
) -> None:
    servers, engine = broker.bootstrap_servers, open_model(url)
    settings = KafkaSettings(bootstrap_servers=servers)
    await ensure_topics(settings, TOPICS)
    world = World(servers, seed=2)
    async with producing(servers) as producer, projector(servers, engine):
        await world.publish(producer, 100)
        await asyncio.to_thread(until, agrees(engine, world), WITHIN)
        async with admin(settings) as client:
            await client.create_partitions({SAGAS_CHANGELOG_TOPIC: NewPartitions(PARTITIONS + 1)})
        await world.publish(producer, 100)

        def counted() -> bool:
            with engine.connect() as connection:
                c = positions.c
                found = connection.execute(select(c.partition).where(c.topic == SAGAS_CHANGELOG_TOPIC))
                return len(found.all()) == PARTITIONS + 1

        await asyncio.to_thread(until, lambda: counted() and agrees(engine, world)(), WITHIN)
    engine.dispose()


@pytest.mark.kafka
async def test_it_goes_on_when_kafka_and_the_database_are_back(
    kafka: LocalKafka, url: str, tmp_path: Path
) -> None:
    engine = open_model(url)
    with LocalKafka(tmp_path / "kafka") as broker:
        servers = broker.bootstrap_servers
        await ensure_topics(KafkaSettings(bootstrap_servers=servers), TOPICS)
        world = World(servers, seed=3)
        async with projector(servers, engine):
            async with producing(servers) as producer:
                await world.publish(producer, 100)
                await asyncio.to_thread(until, agrees(engine, world), WITHIN)
            await asyncio.to_thread(broker.stop)
            await asyncio.to_thread(broker.start)
            assert broker.bootstrap_servers == servers
            await asyncio.to_thread(_cut, engine)
            async with producing(servers) as producer:
                await world.publish(producer, 100)
                await asyncio.to_thread(until, agrees(engine, world), WITHIN)
    engine.dispose()


def _cut(engine: Engine) -> None:
    """End all connections to the database, as its restart does; a file has none."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
        engine.dispose()


@pytest.mark.kafka
async def test_a_database_of_another_cluster_is_made_anew(kafka: LocalKafka, url: str) -> None:
    engine = open_model(url)
    for seed in (4, 5):
        with LocalKafka() as broker:
            servers = broker.bootstrap_servers
            await ensure_topics(KafkaSettings(bootstrap_servers=servers), TOPICS)
            world = World(servers, seed)
            async with producing(servers) as producer, projector(servers, engine):
                await world.publish(producer, 100)
                await asyncio.to_thread(until, agrees(engine, world), WITHIN)
    engine.dispose()
