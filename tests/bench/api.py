"""200 clients of `saga dashboard` at once: 150 ask one question after the other, 50 look on.

The server is a process of its own, and so is what writes changes into its read model.
"""

import asyncio
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from statistics import median, quantiles

import psutil
from msgspec import json
from sqlalchemy import Engine

from saga.core.receipt import SERVICES_TOPIC
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.api_load import Load, Question, loaded
from tests.bench import lives
from tests.bench.row import Row
from tests.integration.processes import Process
from tests.waiting import until
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.flow.record import FLOWS_TOPIC, encode_flow, flow_key
from tracker.view.model.batch import Record, batch_of
from tracker.view.model.database import open_model
from tracker.view.model.write import begin_anew, write

SAGAS = 100_000
ASKING, LOOKING = 150, 50
SECONDS, WARM_UP_SECONDS = 20, 3
UPDATES_PER_SECOND, WRITES_PER_SECOND = 400, 4
BATCH = 20_000
START_SECONDS_MAX = 60


async def run(bootstrap_servers: str) -> Row:
    await _announce(KafkaSettings(bootstrap_servers=bootstrap_servers))
    with tempfile.TemporaryDirectory(prefix="saga-") as folder:
        database = f"sqlite:///{folder}/sagas.db"
        engine = open_model(database)
        now_ms = time.time_ns() // 1_000_000
        _fill(engine, now_ms)
        settings = {"SAGA_BOOTSTRAP_SERVERS": bootstrap_servers, "SAGA_DATABASE": database}
        log = Path(folder) / "dashboard.log"
        server = Process(["saga.cli", "dashboard", "--port", "0", "--no-project"], settings, log)
        writer = Process(["tests.bench.api", database, str(now_ms)], {}, Path(folder) / "writer.log")
        try:
            server.start()
            until(lambda: _address(server), START_SECONDS_MAX, what="the dashboard says where it is")
            writer.start()
            load, cpu_seconds = await _loaded(_address(server), server.running.pid)
        finally:
            writer.end()
            server.end()
        engine.dispose()
    return _row(load, cpu_seconds)


async def _loaded(url: str, pid: int) -> tuple[Load, float]:
    process = psutil.Process(pid)
    async with loaded(url, ASKING, LOOKING, question) as load:
        await asyncio.sleep(WARM_UP_SECONDS)
        load.took_ms.clear()
        before = process.cpu_times()
        await asyncio.sleep(SECONDS)
        after = process.cpu_times()
        told = {kind: list(took) for kind, took in load.took_ms.items()}
    return Load(told, load.errors, load.heard), after.user + after.system - before.user - before.system


def question(chance: random.Random) -> Question:
    """What people ask a dashboard, the frequent questions more often."""
    flow = chance.choice(lives.NAMES[:2])
    number = chance.randrange(SAGAS)
    return chance.choice(
        (
            ("search", "sagas"),
            ("search", f"sagas?flow={flow}&status=open&order=stalest"),
            ("search", f"sagas?key=o-{number:010}"),
            ("search", "sagas?error=Timeout&limit=20"),
            ("saga", f"sagas/{lives.saga_id(number).decode()}"),
            ("saga", f"sagas/{lives.saga_id(number).decode()}"),
            ("flows", "flows"),
            ("funnel", f"flows/{flow}/funnel"),
            ("map", f"flows/{flow}/map"),
            ("stuck", "stuck"),
        )
    )


def _row(load: Load, cpu_seconds: float) -> Row:
    took = load.answers
    for error, count in Counter(load.errors).most_common(5):
        print(f"{count} times: {error}", file=sys.stderr)
    behind = sum(1 for revisions, _ in load.heard if revisions != sorted(set(revisions)))
    return Row(
        name="api",
        unit="ms",
        ours=_percentiles(took),
        peers={},
        ratio=None,
        goal=f"no error; {ASKING} clients that ask, {LOOKING} that look on, {SAGAS:,} sagas, SQLite",
        runs=1,
        extra={
            "errors": len(load.errors),
            "streams out of order": behind,
            "changes told to each": median(len(ids) for _, ids in load.heard),
            "answers per second": round(len(took) / SECONDS),
            "cpu_ms_per_answer": round(cpu_seconds / len(took) * 1000, 2),
            "cores": round(cpu_seconds / SECONDS, 2),
            **{f"p95 of {kind}": _percentiles(some)["p95"] for kind, some in sorted(load.took_ms.items())},
        },
    )


def _percentiles(times: list[float]) -> dict[str, float]:
    cuts = quantiles(times, n=100, method="inclusive")
    return {"p50": round(median(times), 1), "p95": round(cuts[94], 1), "p99": round(cuts[98], 1)}


def _address(server: Process) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", server.output())
    return found.group() if found else ""


async def _announce(settings: KafkaSettings) -> None:
    """The services and flows of these sagas."""
    compacted = {"cleanup.policy": "compact"}
    await ensure_topics(settings, [Topic(SERVICES_TOPIC, 1, compacted), Topic(FLOWS_TOPIC, 1, compacted)])
    known = lives.known()
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for announced in known.announcements:
            await producer.send_and_wait(
                SERVICES_TOPIC, json.encode(announced), key=announced.service.encode()
            )
        for flow in known.flows:
            key = flow_key(flow.name, flow.version).encode()
            await producer.send_and_wait(FLOWS_TOPIC, encode_flow(flow), key=key)


def _fill(engine: Engine, now_ms: int) -> None:
    """As many sagas, of the day that ends now."""
    with engine.begin() as connection:
        begin_anew(connection, SAGAS_CHANGELOG_TOPIC, "bench", {0: 0})
    told = lives.newest(SAGAS, lives.DAY_MS, now_ms - lives.BEGUN_MS - lives.DAY_MS)
    offset = 0
    while some := list(islice(told, BATCH)):
        _write(engine, some, offset)
        offset += len(some)


def _write(engine: Engine, some: list[tuple[bytes, bytes]], offset: int) -> None:
    records = [Record(0, n, key, value) for n, (key, value) in enumerate(some, start=offset)]
    with engine.begin() as connection:
        moved = {0: (offset, offset + len(records))}
        write(connection, SAGAS_CHANGELOG_TOPIC, batch_of(records, lives.known()), moved)


def keep_writing(url: str, now_ms: int) -> None:
    """New sagas and changes of them, as many a second as are asked for, until it is told to stop."""
    engine = open_model(url)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    told = lives.updates(1_000_000, 500, first=SAGAS, later_ms=now_ms - lives.BEGUN_MS)
    begun, offset = time.monotonic(), SAGAS
    while some := list(islice(told, UPDATES_PER_SECOND // WRITES_PER_SECOND)):
        _write(engine, some, offset)
        offset += len(some)
        time.sleep(max(0.0, (offset - SAGAS) / UPDATES_PER_SECOND - (time.monotonic() - begun)))


if __name__ == "__main__":
    keep_writing(sys.argv[1], int(sys.argv[2]))
