"""Deadlines, and forecasts of them."""

from typing import Literal, assert_never

from msgspec import Struct

from tracker.core.course import Told
from tracker.core.flow import Answer, Between, Rule, Silence
from tracker.core.prediction import Forecast
from tracker.core.sla import Clock
from tracker.view.clocks import RUNNING, ClockView, Stand, stand_of
from tracker.view.documents.moment import moment, timestamp


class RunningClock(Struct, frozen=True, gc=False):
    """A clock that runs; `left_ms` is below zero when it is overdue."""

    rule: str
    event: str
    due: str
    stands: Stand
    left_ms: int


class ToldDocument(Struct, frozen=True, gc=False):
    """A warning or a breach that was told; `late_ms` is null as long as what was awaited has not come."""

    rule: str
    event: str
    level: Literal["warned", "breached"]
    due: str
    late_ms: int | None


class ClockDocument(Struct, frozen=True, gc=False):
    """A clock that has started.

    Attributes
    ----------
    left_ms : below zero when it is overdue; of a saga that is paused what is left then; null if it is over.
    took_ms : how long it ran until it was met, or stopped before its deadline.
    chance_to_breach : from 0 to 1, null where too little is known.
    """

    rule: str
    measures: str
    event: str
    within_ms: int
    started: str
    due: str
    warn_at: str | None
    met: str | None
    stands: Stand
    left_ms: int | None
    late_ms: int | None
    took_ms: int | None
    chance_to_breach: float | None


class ChanceDocument(Struct, frozen=True, gc=False):
    """The chance that a clock is breached, from 0 to 1."""

    rule: str
    event: str
    to_breach: float


class ForecastDocument(Struct, frozen=True, gc=False):
    """What the past says of a saga; the ends are null where too little is known.

    `history` counts the sagas that were at `where` before it, `alike` those that stayed there as long;
    `unusual`: nearly none did.
    """

    where: str
    history: int
    alike: int
    unusual: bool
    end_p50: str | None
    end_p90: str | None
    chances: list[ChanceDocument]


def running_document(clock: Clock, now_ms: int) -> RunningClock:
    """A running clock in a list."""
    left_ms = clock.due_ms - now_ms
    return RunningClock(
        clock.rule.name, clock.event, timestamp(clock.due_ms), stand_of(clock, now_ms), left_ms
    )


def told_document(told: Told) -> ToldDocument:
    """A warning or a breach."""
    level: Literal["warned", "breached"] = "breached" if told.breached else "warned"
    late_ms = None if told.late_ms < 0 else told.late_ms
    return ToldDocument(told.rule, told.event, level, timestamp(told.due_ms), late_ms)


def clock_document(view: ClockView, forecast: Forecast | None) -> ClockDocument:
    """A clock of one saga."""
    clock = view.clock
    key = clock.rule.name, clock.event
    chances = {} if forecast is None else {(each.rule, each.event): each.chance for each in forecast.chances}
    left_ms = -view.by_ms if view.stand == "overdue" else view.by_ms
    running = view.stand in RUNNING
    return ClockDocument(
        rule=clock.rule.name,
        measures=measured(clock.rule),
        event=clock.event,
        within_ms=clock.rule.within_ms,
        started=timestamp(clock.start_ms),
        due=timestamp(clock.due_ms),
        warn_at=moment(clock.warn_at_ms),
        met=moment(clock.met_ms),
        stands=view.stand,
        left_ms=left_ms if running or view.stand == "paused" else None,
        late_ms=view.by_ms if view.stand in ("late", "missed", "overdue") else None,
        took_ms=view.by_ms if view.stand in ("met", "stopped") else None,
        chance_to_breach=chances.get(key) if running else None,
    )


def forecast_document(forecast: Forecast | None) -> ForecastDocument | None:
    """A forecast, if there is one."""
    if forecast is None:
        return None
    return ForecastDocument(
        forecast.where,
        forecast.history,
        forecast.alike,
        forecast.unusual,
        moment(forecast.end_p50_ms),
        moment(forecast.end_p90_ms),
        [ChanceDocument(chance.rule, chance.event, chance.chance) for chance in forecast.chances],
    )


def measured(rule: Rule) -> str:
    """`stock.reserved → payment.charged or payment.declined`."""
    match rule:
        case Between():
            return f"{rule.start} → {' or '.join(rule.ends) or 'end'}"
        case Silence():
            return "no event for"
        case Answer():
            return f"{rule.event} → {rule.service} answers"
        case _:
            assert_never(rule)
