"""The simulation finds bugs: each of these, put into the tracker, is told by one of the first seeds."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from msgspec import structs

from tests.simulation.plan import Booking, Fault, FaultKind, Order, Plan, SagaPlan, plan
from tests.simulation.simulation import simulate
from tracker.core import advance, collect, compensation, join, operators, retention, sla
from tracker.core.clock import PartitionClock
from tracker.core.course import Course
from tracker.core.frame import HELD_MS, EventSeen
from tracker.core.timeline import Timeline
from tracker.core.watermark import Polls, Source
from tracker.runtime.collector import Collector
from tracker.runtime.ownership import GroupOwnership
from tracker.runtime.restore import Restore
from tracker.runtime.tracker import Tracker
from tracker.store import table
from tracker.store.changelog import Appended, Changelog
from tracker.store.commit import Commit
from tracker.store.deadlines import Deadlines
from tracker.store.rocks import Rows

SEEDS = 400


class Mutation(NamedTuple):
    """A bug: what stands in the place of an attribute."""

    owner: Any
    name: str
    wrong: Any


async def effects_last(self: Any) -> None:
    if not self._offsets or self._broken:
        return
    rows, effects = self._table.take()
    offsets, self._offsets = self._offsets, {}
    await self._ownership.ensure()
    last, _ = await self._changelog.append(rows)
    for partition, end in last.items():
        self._rows.write(partition, rows[partition], end)
    self._table.written()
    await self._ownership.commit(offsets)
    await self._effects.send(effects)


async def offsets_first(self: Any) -> None:
    if not self._offsets or self._broken:
        return
    rows, effects = self._table.take()
    offsets, self._offsets = self._offsets, {}
    await self._ownership.commit(offsets)
    await self._ownership.ensure()
    await self._effects.send(effects)
    last, _ = await self._changelog.append(rows)
    for partition, end in last.items():
        self._rows.write(partition, rows[partition], end)
    self._table.written()


async def trusting(self: Any) -> None:
    """Never asks whether the partitions are ours."""


async def not_looking(self: Any, rows: Mapping[int, Rows]) -> Appended:
    return Appended({n: (await self._append(n, its_rows))[0] for n, its_rows in rows.items() if its_rows}, {})


async def keeping(self: Any) -> None:
    """Gives nothing up."""


async def confirmed_before_delivery(self: Any, deliveries: Any, batches: Any) -> None:
    if batches:
        await self._consumer.commit({source: records[-1].offset + 1 for source, records in batches.items()})


def latest_source(self: Any) -> None:
    times = [heard.at_ms for heard in self._sources.values() if not heard.gone]
    self._now_ms = max(times, default=None) if max(times, default=HELD_MS) > HELD_MS else None


def no_deadlines(self: Any, partition: int, rows: Iterator[Any]) -> None:
    """Deadlines of sagas that are on disk are forgotten."""


def looked_at(self: Any, source: Source, looked_ms: int) -> int:
    return looked_ms


def by_clock(self: Timeline, event: str) -> tuple[int, int]:
    seen = self.step(event).seen
    return (0 if seen is None else seen.time_ms), 0


async def at_once(self: Any, partition: int) -> bool:
    self._rows.open(partition)
    return True


def never_stopped(flow: Any, timeline: Any, pauses: Any = ()) -> Iterator[Any]:
    """Clocks run on while the saga is paused."""
    return sla._started(flow, timeline, pauses)


def not_put_off(due_ms: int, over: Any) -> int:
    return due_ms


def by_command(self: Any, at_ms: int) -> int:
    """A pause counts from when it was asked for, whatever was decided since."""
    return at_ms


async def as_it_was_kept(self: Any, partition: int) -> None:
    """The clock stays behind the frames that were taken since."""


def by_wall(self: Any, at_ms: int) -> int:
    """A pause begins no later than now, whenever it was read first."""
    wall_ms, now_ms = int(self._world.wall_ms), self._now_ms
    return max(min(at_ms, wall_ms), -1 if now_ms is None else int(now_ms))


def unmoved(self: Any, flow: Any, news: Any, late: bool) -> None:
    """Failures pause nothing."""


_compensate = advance._Turn._compensate


def undoing_on(self: Any, flow: Any) -> None:
    """The undoing goes on while the saga is paused."""
    course = self._course
    self._course = structs.replace(course, pauses=())
    _compensate(self, flow)
    self._course = structs.replace(self._course, pauses=course.pauses)


def ended(heard_ms: int, due_ms: int, now_ms: int, kept: Any) -> bool:
    return due_ms < 0


def left_at_once(saga: Any, now_ms: int, subscriptions: Any, kept: Any) -> Any:
    """A saga leaves with its end."""
    over = retention._over(saga, saga.course or Course(), subscriptions)
    return retention.Leaving(ended=True) if over else None


def always_over(saga: Any, course: Any, subscriptions: Any) -> bool:
    return True


def never_late(facts: Any, now_ms: int, kept: Any) -> Any:
    """What is told of a saga that has left begins another one."""
    return list(facts), []


def silent_child(parent: str, envelope: Any, facts: Any) -> str:
    """The saga that begins another one is not told."""
    return parent


def first_of_all(before: Any, news: Any) -> bool:
    """What has a cause in another saga does not begin its own."""
    return any(isinstance(fact, EventSeen) and not fact.cause for fact in news)


def nothing(saga: Any) -> Iterator[Any]:
    """A saga that turns out to belong to another one hands on nothing of what it has."""
    return iter(())


def first_claim(joins: Any, claim: Any, saga_id: str) -> Any:
    """A saga is joined with one other only."""
    return joins if joins.links else _with(joins, claim, saga_id)


_with = join._with
_ids = iter(range(10**9))


def new_id(event: str, command: str) -> str:
    return f"undo-{next(_ids)}"


_PROMPT = SagaPlan(
    "saga-0",
    1_791,
    reserve_ms=119,
    charge_ms=2_208,
    ship_ms=131,
    charge="payment.charged",
    ship="parcel.dispatched",
    way="plain",
    copies=1,
    lag_ms=0,
    undo_ms=30,
    answers=("obey", "obey"),
)
_ALONE = Plan(
    seed=0,
    trackers=1,
    collectors=1,
    partitions=1,
    parallel=False,
    breach_compensates=False,
    poll_records=100,
    skews_ms=(0, 0, 0, 0),
    sagas=(_PROMPT,),
    faults=(Fault(1_358, "pause-collector", 0, 7_000),),
    orders=(),
)
_OVERTAKEN = structs.replace(
    _ALONE,
    trackers=3,
    partitions=3,
    breach_compensates=True,
    sagas=(
        structs.replace(
            _PROMPT,
            name="saga-4",
            at_ms=8_999,
            reserve_ms=256,
            charge_ms=1_971,
            ship_ms=-1,
            charge="payment.declined",
            way="transaction",
        ),
    ),
    faults=(
        Fault(7_429, "kill-tracker", 0, 50),
        Fault(7_889, "pause-tracker", 0, 7_000),
        Fault(12_466, "pause-tracker", 1, 7_000),
    ),
)
_UNDONE = structs.replace(
    _ALONE,
    sagas=(
        structs.replace(
            _PROMPT, charge_ms=186, charge="payment.declined", undo_ms=2_000, answers=("miss-once", "obey")
        ),
    ),
    faults=(),
    orders=(Order(3_300, "saga-0", "pause"), Order(6_000, "saga-0", "resume")),
)
_PAUSED_BEFORE = structs.replace(_UNDONE, orders=(Order(6_000, "saga-0", "pause", behind_ms=2_700),))
_ASKED_LONG_AGO = structs.replace(
    _ALONE,
    collectors=2,
    sagas=(structs.replace(_PROMPT, at_ms=7_394, reserve_ms=6_079, charge_ms=-1),),
    faults=(Fault(12_855, "no-changelog", 10, 7_000),),
    orders=(Order(12_986, "saga-0", "pause", behind_ms=3_000),),
)
_GIVEN_UP = structs.replace(
    _ALONE,
    sagas=(structs.replace(_PROMPT, charge="dead-letter"),),
    faults=(),
    orders=(Order(9_000, "saga-0", "resume"),),
    failures_pause=True,
)
_AHEAD = structs.replace(
    _ALONE,
    skews_ms=(0, 0, 4_000, 0),
    sagas=(structs.replace(_PROMPT, at_ms=3_479, reserve_ms=26, charge_ms=284, charge="dead-letter"),),
    faults=(Fault(3_600, "no-changelog", 0, 7_000),),
    failures_pause=True,
)
_LEAVING = structs.replace(
    _ALONE, sagas=(structs.replace(_PROMPT, charge_ms=150, echo_ms=25_000),), faults=(), kept_ms=4_000
)
_STUCK = structs.replace(
    _LEAVING, sagas=(structs.replace(_PROMPT, charge="payment.declined", answers=("never", "obey")),)
)
_BEGUN = structs.replace(
    _ALONE, sagas=(_PROMPT, structs.replace(_PROMPT, name="saga-1", at_ms=2_500, parent="saga-0")), faults=()
)
_DEAL = structs.replace(
    _ALONE,
    sagas=(),
    faults=(),
    bookings=(
        Booking(1_000, 0, ("refund",)),
        Booking(2_000, 0, ("payment", "refund")),
        Booking(3_000, 0, ("order", "refund")),
        Booking(4_000, 0, ("payment",)),
    ),
)
"""Plans as they were shrunk from seeds that failed: the seed is only for the milliseconds now."""

MUTATIONS: dict[str, tuple[tuple[FaultKind, ...] | Plan, tuple[Mutation, ...]]] = {
    "effects are sent after the state": (("kill-tracker",), (Mutation(Commit, "_commit", effects_last),)),
    "offsets are committed first": (("kill-tracker",), (Mutation(Commit, "_commit", offsets_first),)),
    "nobody notices that partitions are lost": (
        _OVERTAKEN,
        (Mutation(GroupOwnership, "ensure", trusting), Mutation(Changelog, "append", not_looking)),
    ),
    "a partition is given up without being written": (
        ("stop-tracker", "pause-tracker"),
        (Mutation(Commit, "give_up", keeping),),
    ),
    "the collector commits before its frames are there": (
        ("kill-collector", "no-frames"),
        (Mutation(Collector, "_confirm", confirmed_before_delivery),),
    ),
    "time is that of the source read furthest": (
        ("slow-source",),
        (Mutation(PartitionClock, "_reckon", latest_source),),
    ),
    "deadlines are not found after a restart": (
        ("kill-tracker",),
        (Mutation(Deadlines, "scan", no_deadlines),),
    ),
    "an old answer of Kafka counts as a new one": (
        _ALONE,
        (Mutation(Polls, "asked_ms", looked_at),),
    ),
    "clocks decide what is undone first": (("pause-service",), (Mutation(Timeline, "moment", by_clock),)),
    "a lost disk is not restored": (("wipe-tracker",), (Mutation(Restore, "restored", at_once),)),
    "clocks run while a saga is paused": (("pause-service",), (Mutation(sla, "clocks", never_stopped),)),
    "a saga that is paused is undone": (_UNDONE, (Mutation(advance._Turn, "_compensate", undoing_on),)),
    "attempts are not put off by a pause": (_UNDONE, (Mutation(operators, "_put_off", not_put_off),)),
    "a pause begins before what was decided": (
        _PAUSED_BEFORE,
        (Mutation(advance._Turn, "_moment", by_command),),
    ),
    "nothing is paused that its flow pauses": (
        _GIVEN_UP,
        (Mutation(advance._Turn, "_pause_by_news", unmoved),),
    ),
    "a pause begins later when it is read again": (
        _AHEAD,
        (Mutation(advance._Turn, "_moment", by_wall),),
    ),
    "who goes on judges by an older clock": (
        _ASKED_LONG_AGO,
        (Mutation(Tracker, "_turn_clock_on", as_it_was_kept),),
    ),
    "sagas leave as soon as they have ended": (
        _LEAVING,
        (Mutation(table, "may_leave", ended), Mutation(table, "leaving", left_at_once)),
    ),
    "sagas leave that have something to undo": (_STUCK, (Mutation(retention, "_over", always_over),)),
    "what is told of sagas that have left begins them anew": (
        _LEAVING,
        (Mutation(table, "in_time", never_late),),
    ),
    "sagas are not told of those they begin": (_BEGUN, (Mutation(collect, "_tell_parent", silent_child),)),
    "sagas that others begin follow no flow": (_BEGUN, (Mutation(advance, "_begins", first_of_all),)),
    "what came before a join is lost": (_DEAL, (Mutation(join, "unfold", nothing),)),
    "sagas are joined with one other only": (_DEAL, (Mutation(join, "_with", first_claim),)),
    "each attempt of an undo is another command": (
        ("no-effects", "kill-tracker"),
        (Mutation(compensation, "command_id", new_id),),
    ),
}
"""By bug: the plan, or the kinds of faults, with which it shows, and what is changed."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", MUTATIONS)
def test_the_simulation_finds(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, mutations = MUTATIONS[bug]
    for owner, name, wrong in mutations:
        monkeypatch.setattr(owner, name, wrong)
    plans = (
        structs.replace(shown, seed=seed) if isinstance(shown, Plan) else plan(seed, shown)
        for seed in range(SEEDS)
    )

    assert any(simulate(tried).violations for tried in plans), f"none of {SEEDS} seeds"
