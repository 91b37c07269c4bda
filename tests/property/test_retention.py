"""Which sagas leave, and what is told of them too late, does not depend on when somebody looks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import NOON_MS, event
from tracker.core.advance import World
from tracker.core.effect import Alert
from tracker.core.flow import Between, Flow, Flows
from tracker.core.frame import EventSeen, Watermark
from tracker.core.retention import Retention
from tracker.core.saga import Saga, decode_saga
from tracker.core.subscriptions import Subscriptions
from tracker.store.cache import SagaCache
from tracker.store.rocks import RocksRows
from tracker.store.table import SagaTable

HOUR_MS = 3_600_000
KEPT_MS, SILENT_MS = 5 * HOUR_MS, 9 * HOUR_MS
HOURS = 40
FLOW = Flow(
    "order", 1, "order.placed", ("order.closed",), rules=(Between("soon", 2 * HOUR_MS, "order.placed"),)
)
WORLD = World(Flows((FLOW,)), Subscriptions(), NOON_MS, Retention(KEPT_MS, SILENT_MS))


class Frame(NamedTuple):
    """Hours after noon: how far everything has been read, and when the events happened."""

    at: int
    events: list[tuple[str, str, int]]


sagas = st.sampled_from(["a", "b"])
types = st.sampled_from(["order.placed", "order.closed", "any"])
told = st.lists(st.tuples(sagas, types, st.integers(0, HOURS)), max_size=3)
frames = st.lists(st.builds(Frame, st.integers(0, HOURS), told), max_size=12).map(sorted)


class Stage:
    """A table of one partition on a RocksDB of its own."""

    def __init__(self, rows: RocksRows) -> None:
        self._rows = rows
        self.effects: set[str] = set()
        self.table = SagaTable(self._rows, SagaCache(1), 100_000, source_gone_ms=60_000)
        for _ in self.table.opening(0):
            pass

    def play(self, frame: Frame) -> None:
        now_ms = NOON_MS + frame.at * HOUR_MS
        self.table.observe(0, [Watermark("orders", 0, now_ms)], now_ms, 0)
        facts: dict[str, list[EventSeen]] = {}
        for saga, kind, hours in frame.events:
            fact = event(f"{saga}-{kind}-{hours}", kind, after_ms=hours * HOUR_MS)
            facts.setdefault(saga, []).append(fact)
        self.table.fold(0, facts, WORLD)
        self.table.fold_due(0, WORLD, 100)

    def commit(self) -> None:
        written, effects = self.table.take()
        for partition, rows in written.items():
            self._rows.write(partition, rows, 1)
        self.table.written()
        self.effects |= {effect.id for effect in effects if isinstance(effect, Alert)}

    def sagas(self) -> dict[str, Saga]:
        """What is kept once everybody has been looked at."""
        self.commit()
        self.table.sweep(0, WORLD, 1_000)
        self.commit()
        found = zip("ab", self._rows.get_many(0, [b"a", b"b"]), strict=True)
        return {saga: decode_saga(row) for saga, row in found if row is not None}


@contextmanager
def stage() -> Iterator[Stage]:
    with TemporaryDirectory() as folder:
        rows = RocksRows(Path(folder), "sagas of a test")
        rows.open(0)
        try:
            yield Stage(rows)
        finally:
            rows.close()


@settings(max_examples=30)
@given(frames, st.data())
def test_who_leaves_does_not_depend_on_when_somebody_looks_or_writes(
    played: list[Frame], data: st.DataObject
) -> None:
    with stage() as often, stage() as at_last:
        for frame in played:
            often.play(frame)
            often.table.sweep(0, WORLD, data.draw(st.integers(1, 4)))
            often.commit()
            at_last.play(frame)
            if data.draw(st.booleans()):
                at_last.commit()

        assert often.sagas() == at_last.sagas()
        assert often.effects == at_last.effects
        assert often.table.late == at_last.table.late
        assert often.table.left == at_last.table.left


@settings(max_examples=30)
@given(st.lists(st.tuples(sagas, types, st.integers(HOURS - 4, HOURS)), max_size=12), st.data())
def test_what_is_told_within_the_retention_counts_in_any_order(
    events: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    with stage() as straight, stage() as shuffled:
        straight.play(Frame(HOURS, events))
        for told in data.draw(st.permutations(events)):
            shuffled.play(Frame(HOURS, [told]))
            shuffled.commit()

        steps = {saga_id: saga.steps for saga_id, saga in straight.sagas().items()}
        assert {saga_id: saga.steps for saga_id, saga in shuffled.sagas().items()} == steps
        assert not straight.table.late
        assert not straight.table.left


@settings(max_examples=30)
@given(frames)
def test_nothing_is_kept_for_ever_and_nothing_leaves_too_early(played: list[Frame]) -> None:
    with stage() as played_on:
        for frame in played:
            played_on.play(frame)
            kept = played_on.sagas()
            young = {saga for saga, _, hours in frame.events if hours > frame.at - KEPT_MS // HOUR_MS}
            assert young <= kept.keys()
        silent = (SILENT_MS + WORLD.retention.margin_ms) // HOUR_MS + 1
        played_on.play(Frame(HOURS + 3, []))  # the last deadline
        played_on.play(Frame(HOURS + 3 + silent, []))

        assert played_on.sagas() == {}
