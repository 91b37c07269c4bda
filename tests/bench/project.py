"""How many updates of sagas a second are read into the read model, on both databases, from records at hand.

As a projector does that is far behind: while one batch is written, a process beside it folds the next one;
and as one does that has nobody to help. A process of its own for each run: one database does not find the
memory as another one has left it.
"""

import asyncio
import json
import sys
import time
from itertools import islice
from statistics import median

from sqlalchemy import Engine

from saga.runtime.garbage import calm_garbage_collector
from tests.bench import lives
from tests.bench.row import Row
from tests.databases import DATABASES, database
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC, decode_saga
from tracker.view.model.batch import Batch, Record, batch_of
from tracker.view.model.database import open_model
from tracker.view.model.write import begin_anew, write
from tracker.view.projector.beside import Beside
from tracker.view.projector.projector import GARBAGE_OBJECTS

SAGAS = 30_000
APART = 5_000
BATCH = 5_000
ROUNDS = 3
HELPED, ALONE = "helped", "alone"


async def run(_: str) -> Row:
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _round in range(ROUNDS):
        for name in DATABASES:
            for how in (HELPED, ALONE):
                runs.setdefault((name, how), []).append(await _measured(name, how))
    rates = {key: median(round(each["rate"]) for each in some) for key, some in runs.items()}
    alone = {name: runs[name, ALONE] for name in DATABASES}
    return Row(
        name="project",
        unit="updates/s",
        ours=rates["sqlite", HELPED],
        peers={},
        ratio=None,
        goal="20,000 into SQLite, 15,000 into PostgreSQL",
        runs=ROUNDS,
        extra={
            "PostgreSQL": rates["postgresql", HELPED],
            "without a process beside it": {name: rates[name, ALONE] for name in DATABASES},
            # Without what PostgreSQL does in its own processes.
            "cpu_us_per_update": {
                **{name: median(each["cpu_us"] for each in some) for name, some in alone.items()},
                "decoding alone": median(each["decode_us"] for some in alone.values() for each in some),
            },
        },
    )


async def _measured(name: str, how: str) -> dict[str, float]:
    command = sys.executable, "-W", "ignore", "-m", "tests.bench.project", name, how
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    figures: dict[str, float] = json.loads(output)
    return figures


async def written(name: str, how: str) -> dict[str, float]:
    """Write the lives of many orders, batch by batch, each in a transaction.

    The rate, what one update costs this process, and what its decoding alone would, in the same minute.
    """
    batches = _batches()
    with database(name) as url:
        engine = open_model(url)
        with engine.begin() as connection:
            begin_anew(connection, SAGAS_CHANGELOG_TOPIC, "bench", {0: 0})
        beside = Beside(behind_records=0 if how == HELPED else sys.maxsize)
        await beside(batches[0], lives.known(), 0)  # it is there when the clock starts
        calm_garbage_collector(GARBAGE_OBJECTS)  # as `saga project` does
        begun, busy = time.perf_counter(), time.process_time()
        await _write_all(engine, batches, beside)
        took, cpu = time.perf_counter() - begun, time.process_time() - busy
        await beside.end()
        engine.dispose()
    busy = time.process_time()
    for records in batches:
        for record in records:
            decode_saga(record.value or b"")
    costs = {"cpu_us": cpu, "decode_us": time.process_time() - busy}
    count = sum(map(len, batches))
    return {"rate": count / took} | {name: round(cost / count * 1e6, 1) for name, cost in costs.items()}


async def _write_all(engine: Engine, batches: list[list[Record]], beside: Beside) -> None:
    writing = asyncio.create_task(asyncio.sleep(0))
    for records in batches:
        batch = await beside(records, lives.known(), 0)
        await writing
        writing = asyncio.create_task(asyncio.to_thread(_write, engine, records, batch))
    await writing


def _write(engine: Engine, records: list[Record], batch: Batch | None) -> None:
    moved = {0: (records[0].offset, records[-1].offset + 1)}
    batch = batch or batch_of(records, lives.known())
    with engine.begin() as connection:
        write(connection, SAGAS_CHANGELOG_TOPIC, batch, moved)


def _batches() -> list[list[Record]]:
    told = enumerate(lives.updates(SAGAS, APART))
    found = []
    while some := [Record(0, offset, key, value) for offset, (key, value) in islice(told, BATCH)]:
        found.append(some)
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(written(*sys.argv[1:]))))
