"""An hour without tracker and collectors: no false breach, and who did not finish is told at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.facts import NOON_MS, event
from tracker.core.advance import World
from tracker.core.effect import Lifecycle
from tracker.core.flow import Between, Flow, Flows
from tracker.core.frame import UNREAD_MS, Fact, Watermark
from tracker.core.subscriptions import Subscriptions
from tracker.store.cache import SagaCache
from tracker.store.rocks import RocksRows
from tracker.store.table import SagaTable

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
ORDER = Flow(
    name="order",
    version=1,
    begins="order.placed",
    completed=("parcel.dispatched",),
    rules=(Between("ship-on-time", 30 * MINUTE_MS, "order.placed", warn_ms=24 * MINUTE_MS),),
)
WORLD = World(Flows((ORDER,)), Subscriptions(), NOON_MS)
SOURCES = ("orders", "shipping")


class Driver:
    """A partition of the tracker on a disk: frames in, breaches out. Times are after noon."""

    def __init__(self, rows: RocksRows) -> None:
        self._rows = rows
        self.breached: list[tuple[str, int]] = []
        self.restart()

    def restart(self) -> None:
        """As after a crash: what was not committed is lost."""
        self._table = SagaTable(self._rows, SagaCache(100), 900_000, source_gone_ms=MINUTE_MS)
        for _ in self._table.opening(0):
            pass

    def only(self, source: str, at_ms: int) -> None:
        """A frame of a collector that knows of no other source."""
        self._table.observe(0, [Watermark(source, 0, NOON_MS + at_ms)], NOON_MS + at_ms, 0)

    def frame(self, at_ms: int, facts: dict[str, list[Fact]] | None = None, **read_ms: int) -> None:
        """A frame: what each source has been read to; a source that is not named exists, and is not read."""
        marks = [
            Watermark(name, 0, NOON_MS + read_ms[name] if name in read_ms else UNREAD_MS) for name in SOURCES
        ]
        self._table.observe(0, marks, NOON_MS + at_ms, 0)
        self._table.fold(0, facts or {}, WORLD)
        while self._table.fold_due(0, WORLD, 10):
            pass
        rows, effects = self._table.take()
        self._rows.write(0, rows.get(0, {}), 1)
        self._table.written()
        self.breached += [
            (effect.saga, at_ms)
            for effect in effects
            if isinstance(effect, Lifecycle) and effect.stage == "breached"
        ]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    rows = RocksRows(tmp_path, "sagas of a test")
    rows.open(0)
    yield Driver(rows)
    rows.close()


def placed(saga: str, at_ms: int) -> dict[str, list[Fact]]:
    return {saga: [event(f"{saga}/placed", "order.placed", after_ms=at_ms)]}


def dispatched(saga: str, at_ms: int) -> dict[str, list[Fact]]:
    cause = f"{saga}/placed"
    return {saga: [event(f"{saga}/done", "parcel.dispatched", after_ms=at_ms, cause=cause, topic="shipping")]}


def test_an_outage_raises_no_false_breach_and_hides_no_real_one(driver: Driver) -> None:
    for saga in ("in-time", "never", "late"):
        driver.frame(0, placed(saga, 0), orders=0, shipping=0)
    driver.restart()

    # An hour later. Nobody reads at first; then one source is read up to now while the other is behind.
    driver.frame(HOUR_MS)
    driver.frame(HOUR_MS + 500, orders=HOUR_MS)
    driver.frame(HOUR_MS + 1_000, dispatched("in-time", 5 * MINUTE_MS), orders=HOUR_MS + 900)
    driver.frame(HOUR_MS + 1_100, orders=HOUR_MS + 1_000, shipping=5 * MINUTE_MS)
    assert driver.breached == []

    driver.frame(HOUR_MS + 1_200, dispatched("late", 40 * MINUTE_MS), orders=HOUR_MS, shipping=40 * MINUTE_MS)
    assert sorted(driver.breached) == [("late", HOUR_MS + 1_200), ("never", HOUR_MS + 1_200)]

    driver.frame(HOUR_MS + 1_300, orders=HOUR_MS, shipping=HOUR_MS)
    driver.restart()
    driver.frame(HOUR_MS + 1_400, orders=HOUR_MS, shipping=HOUR_MS)
    assert len(driver.breached) == 2


def test_two_collectors_of_which_one_comes_later_raise_no_false_breach(driver: Driver) -> None:
    driver.frame(0, placed("in-time", 0), orders=0, shipping=0)
    driver.restart()
    for at_ms in range(HOUR_MS, HOUR_MS + 30_000, 500):  # the first collector alone, for half a minute
        driver.frame(at_ms, orders=at_ms)
    driver.frame(HOUR_MS + 30_000, dispatched("in-time", 29 * MINUTE_MS), shipping=29 * MINUTE_MS)
    driver.frame(HOUR_MS + 31_000, orders=HOUR_MS + 31_000, shipping=HOUR_MS + 31_000)

    assert driver.breached == []


def test_a_first_start_with_a_backlog_of_hours_raises_no_false_breach(driver: Driver) -> None:
    driver.frame(5 * HOUR_MS)
    driver.frame(5 * HOUR_MS + 100, placed("in-time", 0), orders=10_000)
    driver.frame(5 * HOUR_MS + 200, dispatched("in-time", MINUTE_MS), orders=5 * HOUR_MS, shipping=MINUTE_MS)
    driver.frame(5 * HOUR_MS + 300, orders=5 * HOUR_MS, shipping=5 * HOUR_MS)

    assert driver.breached == []


def test_a_source_that_stops_for_good_stops_time_for_a_minute_only(driver: Driver) -> None:
    driver.frame(0, placed("never", 0), orders=0, shipping=0)
    for at_ms in range(HOUR_MS, HOUR_MS + 2 * MINUTE_MS, 500):
        driver.frame(at_ms, orders=at_ms)

    [(saga, told_ms)] = driver.breached
    assert saga == "never"
    assert HOUR_MS + MINUTE_MS - 1_500 <= told_ms <= HOUR_MS + MINUTE_MS + 1_000


def test_sagas_of_a_topic_that_is_found_late_are_judged_by_the_time_of_its_events(driver: Driver) -> None:
    """As at every first start: services announce their topics while they already publish."""
    driver.only("orders", at_ms=HOUR_MS)
    driver.frame(HOUR_MS + 500, orders=HOUR_MS + 400)
    driver.frame(HOUR_MS + 600, placed("in-time", 0), orders=HOUR_MS + 500, shipping=0)
    driver.frame(HOUR_MS + 700, dispatched("in-time", MINUTE_MS), orders=HOUR_MS + 600, shipping=HOUR_MS)

    assert driver.breached == []
