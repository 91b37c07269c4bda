"""What an event costs the saga table with many sagas open, and with very many events in one of them.

Two processes of their own, by turns: one has 10,000 open sagas and the other 1,000,000, each with deadlines.
What is measured is everything between a frame and the rows on disk: decode, fold, follow the flow, wake,
sweep, encode, write; CPU time of the whole process, RocksDB's threads included. Each event is of another
saga, drawn at random: the large table finds next to none of them in its cache, the small one all.
"""

import asyncio
import gc
import json
import os
import resource
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from statistics import median

from saga.core.ids import derived_id
from tests.bench.row import Row
from tests.bench.sla import FLOW
from tests.facts import NOON_MS
from tracker.core.advance import World
from tracker.core.flow import Flows
from tracker.core.frame import EventSeen, Fact, ReceiptSeen, Watermark, decode_frame, encode_frame
from tracker.core.subscriptions import Subscriptions
from tracker.flow.parse import parse
from tracker.runtime.settings import TrackerSettings
from tracker.store.cache import SagaCache
from tracker.store.rocks import RocksRows
from tracker.store.table import SagaTable

FEW, MANY = 10_000, 1_000_000
ROUNDS = 8
PARTITIONS = 8
FRAME_SAGAS = 250
SWEPT_ROWS = 100
LONG_EVENTS = 100_000
SHORT_EVENTS = 5
UNDER_WAY = 200
TYPES = ("order.placed", "stock.reserved", "payment.charged", "parcel.packed", "parcel.dispatched")
TURN_SECONDS_MAX = 600


async def run(_: str) -> Row:
    """No Kafka: what goes to the changelog is what goes to RocksDB."""
    few, many = await Child.start(FEW), await Child.start(MANY)
    try:
        turns = [(await few.ask("turn"), await many.ask("turn")) for _ in range(ROUNDS)]
        opened = await many.ask("open")
        long = await few.ask("long")
    finally:
        await few.end()
        await many.end()
    return Row(
        name="scale",
        unit="µs/event",
        ours=round(median(large["cpu_us"] for _, large in turns), 1),
        peers={f"with {FEW:,} open sagas": round(median(small["cpu_us"] for small, _ in turns), 1)},
        ratio=median(small["cpu_us"] / large["cpu_us"] for small, large in turns),
        goal=f"{MANY:,} open sagas: at least 0.67, RSS at most 1,024 MiB",
        runs=ROUNDS,
        extra={
            f"RSS with {MANY:,} open sagas, MiB": round(max(large["rss_mb"] for _, large in turns)),
            f"RSS with {FEW:,} open sagas, MiB": round(max(small["rss_mb"] for small, _ in turns)),
            f"opening {MANY:,} rows after a start, CPU s": round(opened["cpu_s"], 2),
            **{f"a fact of a saga of {name}": round(figure, 1) for name, figure in long.items()},
        },
    )


class Child:
    """A process with a table of its own, that does what it is asked for."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, sagas: int) -> "Child":
        """Start it; it answers once it has so many open sagas."""
        arguments = (sys.executable, "-m", "tests.bench.scale", str(sagas))
        child = cls(await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE))
        await child.ask("fill")
        return child

    async def ask(self, what: str) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what.encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(TURN_SECONDS_MAX):
            answer: dict[str, float] = json.loads(await self._process.stdout.readline())
            return answer

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()


class Stage:
    """A table as a tracker has it, without Kafka."""

    def __init__(self, folder: Path, world: World) -> None:
        settings = TrackerSettings(state_dir=folder)
        self._world = world
        self._rows = RocksRows(settings.state_dir, "bench")
        cache = SagaCache(settings.cached_sagas)
        self.table = SagaTable(self._rows, cache, settings.saga_bytes, settings.source_gone_ms)
        self._commits = 0
        for partition in range(PARTITIONS):
            self._rows.open(partition)
        self.open()

    def open(self) -> None:
        """As after a start."""
        self.table.forget()
        for partition in range(PARTITIONS):
            for _ in self.table.opening(partition):
                pass

    def play(self, frames: Iterable[tuple[int, bytes]], swept_rows: int) -> None:
        """Fold these frames and write what came of them; after each so many rows are swept."""
        for partition, value in frames:
            frame = decode_frame(value)
            self.table.observe(partition, frame.watermarks, NOON_MS, 0)
            self.table.fold(partition, frame.sagas, self._world)
            self.table.fold_due(partition, self._world, 500)
            self.table.sweep(partition, self._world, swept_rows)
        self._commits += 1
        for partition, rows in self.table.take().rows.items():
            self._rows.write(partition, rows, self._commits)
        self.table.written()


class Open:
    """Many open sagas, one event more for some of them at each turn."""

    def __init__(self, folder: Path, sagas: int) -> None:
        flow = parse(FLOW).flow
        assert flow is not None
        self._stage = Stage(folder, World(Flows((flow,)), Subscriptions(), NOON_MS))
        self._sagas = sagas // PARTITIONS
        self._random = Random(7)
        self._turn = 0

    def fill(self) -> dict[str, float]:
        for first in range(0, self._sagas, FRAME_SAGAS):
            numbers = range(first, min(first + FRAME_SAGAS, self._sagas))
            self._stage.play([self._frame(partition, numbers, 0, 1) for partition in range(PARTITIONS)], 0)
        return {}

    def turn(self) -> dict[str, float]:
        self._turn += 1
        frames = [
            self._frame(partition, self._random.sample(range(self._sagas), FRAME_SAGAS), 1 + self._turn)
            for partition in range(PARTITIONS)
        ]
        began = time.process_time()
        self._stage.play(frames, SWEPT_ROWS)
        spent = time.process_time() - began
        return {"cpu_us": spent / (PARTITIONS * FRAME_SAGAS) * 1e6, "rss_mb": _rss_mb()}

    def open(self) -> dict[str, float]:
        began = time.process_time()
        self._stage.open()
        return {"cpu_s": time.process_time() - began}

    def _frame(self, partition: int, numbers: Iterable[int], *events: int) -> tuple[int, bytes]:
        sagas = {saga: list(_events(saga, events)) for saga in (_id(partition, n) for n in numbers)}
        return partition, encode_frame(sagas, [Watermark("orders", 0, NOON_MS)])


def _id(partition: int, number: int) -> str:
    return f"0199c8d2-{partition:04x}-7000-8000-{number:012x}"


def _events(saga: str, numbers: Iterable[int]) -> Iterator[Fact]:
    """Events of a saga, each caused by the one before, `number` 0 being the first."""
    for number in numbers:
        event = derived_id(saga, "bench", number) if number else saga
        cause = derived_id(saga, "bench", number - 1) if number > 1 else saga if number else None
        kind = TYPES[number % 2 + 1] if number else TYPES[0]
        yield EventSeen(event, kind, "orders", "orders", 0, number, NOON_MS + number, cause, "o-1042", 1)


def long(folder: Path) -> dict[str, float]:
    """CPU time of a fact, in µs, of one saga of very many events, and of as many events in short sagas.

    Each frame is a commit of its own, of 1, 10 or 1,000 facts; two facts an event: it and its receipt.
    """
    flow = parse(FLOW).flow
    assert flow is not None
    world = World(Flows((flow,)), Subscriptions(), NOON_MS)
    found = {}
    for size in (1, 10, 1_000):
        for name, facts in (("many", _one_long()), ("few", _many_short())):
            stage = Stage(folder / f"{name}-{size}", world)
            spent, count = 0.0, 0
            for chunk in _chunks(facts, size):
                frame = [(0, encode_frame(chunk, [Watermark("orders", 0, NOON_MS)]))]
                began = time.process_time()
                stage.play(frame, 0)
                spent += time.process_time() - began
                count += size
            events = LONG_EVENTS if name == "many" else SHORT_EVENTS
            found[f"{events:,} events, {size:,} in a frame"] = spent / count * 1e6
    return found


def _one_long() -> Iterator[tuple[str, Fact]]:
    for number in range(LONG_EVENTS):
        for fact in _with_receipts("long", number):
            yield "long", fact


def _many_short() -> Iterator[tuple[str, Fact]]:
    for first in range(0, LONG_EVENTS // SHORT_EVENTS, UNDER_WAY):
        for number in range(SHORT_EVENTS):
            for saga in (_id(0, n) for n in range(first, first + UNDER_WAY)):
                for fact in _with_receipts(saga, number):
                    yield saga, fact


def _with_receipts(saga: str, number: int) -> Iterator[Fact]:
    for event in _events(saga, [number]):
        yield event
        assert isinstance(event, EventSeen)
        yield ReceiptSeen(event.id, "bench", "1", "handle", "handled", event.time_ms, 1.5, 1, None, None)


def _chunks(facts: Iterable[tuple[str, Fact]], size: int) -> Iterator[dict[str, list[Fact]]]:
    chunk: dict[str, list[Fact]] = {}
    count = 0
    for saga, fact in facts:
        chunk.setdefault(saga, []).append(fact)
        count += 1
        if count == size:
            yield chunk
            chunk, count = {}, 0


def _rss_mb() -> float:
    """Resident memory; the greatest so far where the system does not tell the present one."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)  # as the worker does
    with tempfile.TemporaryDirectory() as folder:
        sagas = Open(Path(folder, "open"), int(sys.argv[1]))
        for line in sys.stdin:
            match line.strip():
                case "fill":
                    answer = sagas.fill()
                case "turn":
                    answer = sagas.turn()
                case "open":
                    answer = sagas.open()
                case _:
                    answer = long(Path(folder))
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
