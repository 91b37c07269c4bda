"""What an event costs the tracker, part by part: what more machines and more processors are planned with.

One process, no Kafka: records are given as a poll of a collector that is behind gives them, frames as
they are made of those. The row `workers` has the whole, clients of Kafka included.
"""

import gc
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench import orders
from tests.bench.row import Row
from tests.bench.sla import FLOW
from tests.facts import NOON_MS
from tracker.core.advance import World, advance
from tracker.core.collect import Payloads, SagaFacts, Uncorrelated, collect_events
from tracker.core.flow import Flows
from tracker.core.frame import decode_frame
from tracker.core.pack import FrameLimits, by_partition, pack
from tracker.core.saga import Saga, encode_saga
from tracker.core.subscriptions import Subscriptions
from tracker.flow.parse import parse
from tracker.runtime.settings import TrackerSettings
from tracker.store.rocks import RocksRows

ORDERS = 10_000
POLL_RECORDS = 16_000
ROUNDS = 5

Stages = defaultdict[str, float]
"""Seconds by stage."""


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


async def run(_: str) -> Row:
    flow = parse(FLOW).flow
    assert flow is not None
    published = [
        (context, Record(offset, NOON_MS, saga.encode(), orders.VALUE, tuple(headers)))
        for offset, (context, saga, headers) in enumerate(orders.events(ORDERS))
    ]
    gc.freeze()
    bare = [_stages(published, Flows()) for _ in range(ROUNDS)]
    ruled = [_stages(published, Flows((flow,))) for _ in range(ROUNDS)]
    figures = {name: _us(bare, name, len(published)) for name in bare[0]}
    return Row(
        name="stages",
        unit="CPU µs/event",
        ours=round(sum(figures.values()), 1),
        peers={},
        ratio=None,
        goal="what a plan for more machines reckons with",
        runs=ROUNDS,
        extra={
            **figures,
            "fold, with a flow file": _us(ruled, "fold", len(published)),
            "encode, with a flow file": _us(ruled, "encode", len(published)),
        },
    )


def _us(rounds: list[Stages], name: str, events: int) -> float:
    return round(median(stages[name] for stages in rounds) / events * 1e6, 2)


def _polls(published: list[tuple[str, Record]]) -> Iterator[dict[str, list[Record]]]:
    for first in range(0, len(published), POLL_RECORDS):
        poll: defaultdict[str, list[Record]] = defaultdict(list)
        for context, record in published[first : first + POLL_RECORDS]:
            poll[context].append(record)
        yield poll


def _stages(published: list[tuple[str, Record]], flows: Flows) -> Stages:
    stages: Stages = defaultdict(float)
    settings = TrackerSettings()
    limits = FrameLimits(settings.frame_steps, settings.frame_bytes)
    payloads = Payloads(flows.payloads)
    world = World(flows, Subscriptions(), NOON_MS)
    sagas: dict[str, Saga | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = RocksRows(Path(folder), "bench")
        rows.open(0)
        for number, poll in enumerate(_polls(published)):
            clock = _Clock(stages)
            facts: SagaFacts = {}
            uncorrelated: Uncorrelated = Counter()
            for context, records in poll.items():
                collect_events(context, 0, records, facts, uncorrelated, payloads)
            clock.passed("collect")
            frames = [
                frame
                for its_facts in by_partition(facts, orders.PARTITIONS).values()
                for frame in pack(its_facts, [], limits).frames
            ]
            clock.passed("pack")
            decoded = [decode_frame(frame) for frame in frames]
            clock.passed("unpack")
            changed: dict[str, Saga] = {}
            for frame in decoded:
                for saga_id, its_facts in frame.sagas.items():
                    after, _ = advance(sagas.get(saga_id), saga_id, its_facts, NOON_MS, world)
                    if after is not None:
                        sagas[saga_id] = changed[saga_id] = after
            clock.passed("fold")
            encoded = {saga_id.encode(): encode_saga(saga) for saga_id, saga in changed.items()}
            clock.passed("encode")
            rows.write(0, encoded, number)
            clock.passed("write")
        rows.close()
    return stages


class _Clock:
    """CPU time of the process, RocksDB's threads included, by what it was spent on."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._at = time.process_time()

    def passed(self, stage: str) -> None:
        now = time.process_time()
        self._stages[stage] += now - self._at
        self._at = time.process_time()
