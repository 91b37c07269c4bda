"""How long `saga project` takes to make the read model anew from Kafka, on both databases.

From the start of the process until it says that all sagas are there. `SAGA_BENCH_SAGAS` makes it smaller for
a try.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from msgspec import json
from sqlalchemy import Engine, func, select

from saga.core.receipt import SERVICES_TOPIC
from saga.runtime.kafka import AIOKafkaProducer
from tests.bench import lives
from tests.bench.row import Row
from tests.databases import DATABASES, database
from tests.integration.processes import Process
from tracker.core.frame import saga_partition
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.flow.record import FLOWS_TOPIC, encode_flow, flow_key
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.topics import made_topics
from tracker.store.changelog import Changelog
from tracker.view.model.database import open_model
from tracker.view.model.freshness import freshness
from tracker.view.model.tables import sagas

SAGAS = int(os.environ.get("SAGA_BENCH_SAGAS", 1_000_000))
OVER_MS = 7 * lives.DAY_MS
CHUNK = 50_000
LOOK_SECONDS = 0.1
SECONDS_MAX = 600


async def run(bootstrap_servers: str) -> Row:
    await _fill(bootstrap_servers)
    seconds = {name: await asyncio.to_thread(_made, bootstrap_servers, name) for name in DATABASES}
    return Row(
        name="rebuild",
        unit="sagas/s",
        ours=round(SAGAS / seconds["sqlite"]),
        peers={},
        ratio=None,
        goal="1,000,000 sagas within 60 s",
        runs=1,
        extra={"sagas": SAGAS, "PostgreSQL": round(SAGAS / seconds["postgresql"]), "seconds": seconds},
    )


async def _fill(bootstrap_servers: str) -> None:
    """The saga table as a tracker leaves it, and what its sagas are read by."""
    partitions = (await made_topics(TrackerSettings(bootstrap_servers=bootstrap_servers))).partitions
    known = lives.known()
    told = lives.newest(SAGAS, OVER_MS)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_batch_size=512 * 1024) as producer:
        for flow in known.flows:
            key = flow_key(flow.name, flow.version).encode()
            await producer.send_and_wait(FLOWS_TOPIC, encode_flow(flow), key=key)
        for announced in known.announcements:
            key = announced.service.encode()
            await producer.send_and_wait(SERVICES_TOPIC, json.encode(announced), key=key)
        changelog = Changelog(producer, SAGAS_CHANGELOG_TOPIC, _nobody_else)
        while rows := _rows(islice(told, CHUNK), partitions):
            await changelog.append(rows)


def _rows(some: Iterator[tuple[bytes, bytes]], partitions: int) -> dict[int, dict[bytes, bytes | None]]:
    rows: dict[int, dict[bytes, bytes | None]] = {}
    for key, value in some:
        rows.setdefault(saga_partition(key.decode(), partitions), {})[key] = value
    return rows


async def _nobody_else(partition: int, first: int, end: int) -> set[bytes]:
    raise AssertionError(f"somebody else has written {first} to {end} of partition {partition}")


def _made(bootstrap_servers: str, name: str) -> float:
    with database(name) as url, tempfile.TemporaryDirectory() as folder:
        engine = open_model(url)
        settings = {"SAGA_BOOTSTRAP_SERVERS": bootstrap_servers, "SAGA_DATABASE": url}
        process = Process(["saga.cli", "project"], settings, Path(folder) / "project.log")
        began = time.perf_counter()
        process.start()
        try:
            while not _complete(engine):
                assert time.perf_counter() - began < SECONDS_MAX, process.output()[-5_000:]
                time.sleep(LOOK_SECONDS)
            seconds = time.perf_counter() - began
            with engine.connect() as connection:
                assert connection.scalar(select(func.count()).select_from(sagas)) == SAGAS
        finally:
            process.end()
            engine.dispose()
    return round(seconds, 1)


def _complete(engine: Engine) -> bool:
    with engine.connect() as connection:
        return not freshness(connection, time.time_ns() // 1_000_000).building
