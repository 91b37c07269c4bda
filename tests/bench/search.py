"""How long searches take over a million sagas while 2,000 updates a second come in, and how long it takes
to read a million sagas anew.

The questions are those of the API, common ones and rare ones and such that nothing answers to, in every
order, page after page. `SAGA_BENCH_SAGAS` makes it smaller for a try.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from statistics import median, quantiles
from typing import Any, NamedTuple

from sqlalchemy import Engine, func, select

from saga.runtime.garbage import calm_garbage_collector
from tests.bench import lives
from tests.bench.row import Row
from tests.databases import DATABASES, database
from tracker.core.contract.findings import Kind
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.core.status import Status
from tracker.view.model.batch import Record, batch_of
from tracker.view.model.database import open_model
from tracker.view.model.search import Cursor, Order, Wanted, search
from tracker.view.model.tables import sagas
from tracker.view.model.write import begin_anew, read_positions, write
from tracker.view.projector.projector import GARBAGE_OBJECTS

SAGAS = int(os.environ.get("SAGA_BENCH_SAGAS", 1_000_000))
OVER_MS = 7 * lives.DAY_MS
NOW_MS = lives.BEGUN_MS + OVER_MS
UPDATES_PER_SECOND = 2_000
WRITES_PER_SECOND = 4
BATCH = 20_000
ROUNDS = 20
PAGES = 3
LIMIT = 50
CLUSTER = "bench"

Asked = tuple[str, Wanted]


async def run(_: str) -> Row:
    told = {}
    for name in DATABASES:
        command = sys.executable, "-W", "ignore", "-m", "tests.bench.search", name
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        told[name] = json.loads((await process.communicate())[0])
    slowest = {f"slowest kinds, {name}": figures["slowest"] for name, figures in told.items()}
    return Row(
        name="search",
        unit="ms",
        ours=told["sqlite"]["all"],
        peers={},
        ratio=None,
        goal=f"p95 100 on SQLite and 50 on PostgreSQL, {SAGAS:,} sagas; rebuild 60 s",
        runs=1,
        extra={
            "PostgreSQL": told["postgresql"]["all"],
            **slowest,
            # Without what PostgreSQL does in its own processes.
            "cpu": {name: figures["cpu"]["p95"] for name, figures in told.items()},
            "rebuild_seconds": {name: figures["rebuild_seconds"] for name, figures in told.items()},
            "rebuild_cpu_seconds": {name: figures["rebuild_cpu_seconds"] for name, figures in told.items()},
            "updates_per_second": {name: figures["updates_per_second"] for name, figures in told.items()},
        },
    )


class Figures(NamedTuple):
    """Milliseconds of all searches and of the slowest kinds; the rebuild without making its records.

    `cpu` and `rebuild_cpu_seconds` are what of it this process was busy: on a machine that others use as
    well it is more exact.
    """

    all: dict[str, float]
    cpu: dict[str, float]
    slowest: dict[str, float]
    rebuild_seconds: float
    rebuild_cpu_seconds: float
    updates_per_second: float


def figures(name: str) -> Figures:
    with database(name) as url:
        engine = open_model(url)
        rebuild_seconds, rebuild_cpu_seconds = _filled(engine)
        writing = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.bench.search", "write", url], stdout=subprocess.PIPE
        )
        took, cpu = _searched(engine)
        writing.terminate()
        written, _ = writing.communicate()
        engine.dispose()
    everything = [ms for times in took.values() for ms in times]
    p95 = {kind: round(_percentiles(times)["p95"], 1) for kind, times in took.items()}
    slowest = dict(sorted(p95.items(), key=lambda item: -item[1])[:5])
    rebuilt = rebuild_seconds, rebuild_cpu_seconds
    return Figures(_percentiles(everything), _percentiles(cpu), slowest, *rebuilt, float(written or 0))


def _percentiles(times: list[float]) -> dict[str, float]:
    cuts = quantiles(times, n=100, method="inclusive")
    return {"p50": round(median(times), 1), "p95": round(cuts[94], 1), "p99": round(cuts[98], 1)}


def _filled(engine: Engine) -> tuple[float, float]:
    with engine.begin() as connection:
        begin_anew(connection, SAGAS_CHANGELOG_TOPIC, CLUSTER, {0: 0})
    offset, took, cpu = 0, 0.0, 0.0
    told = lives.newest(SAGAS, OVER_MS)
    calm_garbage_collector(GARBAGE_OBJECTS)  # as `saga project` does
    while some := list(islice(told, BATCH)):
        busy = time.process_time()
        took += _written(engine, some, offset)
        cpu += time.process_time() - busy
        offset += len(some)
    return round(took, 1), round(cpu, 1)


def _written(engine: Engine, some: list[tuple[bytes, bytes]], offset: int) -> float:
    records = [Record(0, n, key, value) for n, (key, value) in enumerate(some, start=offset)]
    begun = time.perf_counter()
    batch = batch_of(records, lives.known())
    with engine.begin() as connection:
        write(connection, SAGAS_CHANGELOG_TOPIC, batch, {0: (offset, offset + len(records))})
    return time.perf_counter() - begun


def keep_writing(url: str) -> None:
    """New sagas and changes of them, as many a second as are asked for, until it is told to stop."""
    engine = open_model(url)
    with engine.connect() as connection:
        offset = first = read_positions(connection, SAGAS_CHANGELOG_TOPIC, CLUSTER)[0]
    told = lives.updates(1_000_000, 2_000, first=SAGAS, later_ms=OVER_MS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    begun = time.monotonic()
    try:
        while some := list(islice(told, UPDATES_PER_SECOND // WRITES_PER_SECOND)):
            _written(engine, some, offset)
            offset += len(some)
            ahead = (offset - first) / UPDATES_PER_SECOND - (time.monotonic() - begun)
            time.sleep(max(0.0, ahead))
    finally:
        print((offset - first) / (time.monotonic() - begun), flush=True)


def questions(chance: random.Random) -> Iterator[Asked]:
    """One of each kind, with what is asked for chosen anew."""
    number = chance.randrange(SAGAS)
    name = chance.choice(lives.NAMES)
    at_ms = lives.BEGUN_MS + chance.randrange(OVER_MS)
    in_flight = frozenset({Status.OPEN, Status.RETRYING})
    yield "everything", Wanted()
    yield "flow", Wanted(flow=name if name != lives.NAMES[-1] else f"{name}.placed")
    yield "version", Wanted(flow=lives.NAMES[0], flow_version=chance.choice((1, 2, 3)))
    yield "status, common", Wanted(statuses=frozenset({Status.COMPLETED}))
    yield "status, rare", Wanted(statuses=frozenset({chance.choice((Status.RETRYING, Status.STUCK))}))
    yield "status and flow", Wanted(flow=name, statuses=in_flight)
    yield "business key", Wanted(business_key=f"o-{number:010}")
    yield "business key, none", Wanted(business_key="o-nobody")
    yield "id prefix, one", Wanted(id_prefix=lives.saga_id(number).decode())
    yield "id prefix, many", Wanted(id_prefix=lives.saga_id(number).decode()[:-4])
    yield "event type", Wanted(event_type=f"{name}.charged")
    yield "event type, rare", Wanted(event_type=f"{name}.declined")
    yield "event type, none", Wanted(event_type="parcel.lost")
    yield "service", Wanted(service="payments")
    yield "waiting for", Wanted(waiting_for=chance.choice(("payments", "shipping", "carrier")))
    yield "error, some", Wanted(error=f"customer {chance.randint(1, 50)} ")
    yield "error, many", Wanted(error="Error")
    yield "error, none", Wanted(error="no such error")
    yield "overdue", Wanted(stand="overdue")
    yield "due soon", Wanted(stand="due soon", flow=name)
    yield "on time", Wanted(stand="on time")
    yield "at risk", Wanted(at_risk=True)
    yield "finding", Wanted(findings=frozenset({Kind.ORPHAN}))
    yield "an hour", Wanted(began_from_ms=at_ms, began_until_ms=at_ms + 3_600_000)
    yield (
        "an hour and status",
        Wanted(began_from_ms=at_ms, began_until_ms=at_ms + 3_600_000, statuses=in_flight),
    )
    yield "flow and error", Wanted(flow=name, error="warehouse")


def _searched(engine: Engine) -> tuple[dict[str, list[float]], list[float]]:
    chance = random.Random(lives.SEED)
    took: dict[str, list[float]] = {}
    cpu: list[float] = []
    with engine.connect() as connection:
        assert (connection.scalar(select(func.count()).select_from(sagas)) or 0) >= SAGAS
    for _ in range(ROUNDS):
        for kind, wanted in questions(chance):
            for order in Order:
                # Deep into the list as often as at its beginning.
                deep = chance.random() < 0.5
                after = Cursor(lives.BEGUN_MS + chance.randrange(OVER_MS), "") if deep else None
                for _ in range(PAGES):
                    begun, busy = time.perf_counter(), time.process_time()
                    with engine.connect() as connection:
                        page = search(connection, wanted, order, LIMIT, NOW_MS, after)
                    took.setdefault(kind, []).append((time.perf_counter() - begun) * 1000)
                    cpu.append((time.process_time() - busy) * 1000)
                    after = page.cursor
                    if after is None:
                        break
    return took, cpu


if __name__ == "__main__":
    if sys.argv[1] == "write":
        keep_writing(sys.argv[2])
    else:
        told: Any = figures(sys.argv[1])._asdict()
        print(json.dumps(told))
