"""The deadlines of a saga as they stand: what is left, what was met, what came late or never."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from tracker.core.course import Course
from tracker.core.flow import Flow
from tracker.core.saga import Saga
from tracker.core.sla import NEVER, Clock, clocks, stopped_ms
from tracker.core.timeline import Timeline

Stand = Literal["on time", "due soon", "overdue", "met", "late", "missed", "stopped", "paused"]
"""`late`: what was awaited came behind its deadline; `missed`: the saga was over, or its compensation
began, behind the deadline, and it had not come; `stopped`: the same before the deadline; `paused`: the saga
stands still, and so does the clock."""

RUNNING: frozenset[Stand] = frozenset({"on time", "due soon", "overdue"})


class ClockView(NamedTuple):
    """A clock at one time. `by_ms`: what is left, by how much it was or is late, or how long it took."""

    clock: Clock
    stand: Stand
    by_ms: int


def running_clocks(saga: Saga, flow: Flow | None) -> tuple[Clock, ...]:
    """The clocks that neither were met nor have stopped nor stand still, the most urgent first."""
    if flow is None or saga.course is None or stopped_ms(saga.course) != NEVER:
        return ()
    started = clocks(flow, Timeline(saga), saga.course.pauses)
    running = (clock for clock in started if clock.met_ms == NEVER == clock.paused_ms)
    return tuple(sorted(running, key=_due_ms))


def clock_views(saga: Saga, flow: Flow | None, now_ms: int) -> list[ClockView]:
    """Every clock that has started, in the order of the flow file."""
    if flow is None or saga.course is None:
        return []
    course = saga.course
    return [_view(clock, course, now_ms) for clock in clocks(flow, Timeline(saga), course.pauses)]


def stand_of(clock: Clock, now_ms: int) -> Stand:
    """How a clock stands that is running."""
    if now_ms >= clock.due_ms:
        return "overdue"
    return "due soon" if NEVER != clock.warn_at_ms <= now_ms else "on time"


def worst(running: Iterable[Clock], now_ms: int) -> Stand:
    """How the most urgent of these stands; without any nothing can be late."""
    found: Stand = "on time"
    for clock in running:
        stand = stand_of(clock, now_ms)
        if stand == "overdue":
            return stand
        if stand == "due soon":
            found = stand
    return found


def _view(clock: Clock, course: Course, now_ms: int) -> ClockView:
    key = clock.rule.name, clock.event, clock.due_ms
    breached = any(told.breached and (told.rule, told.event, told.due_ms) == key for told in course.told)
    over_ms = stopped_ms(course)
    if clock.met_ms != NEVER and (breached or over_ms == NEVER or clock.met_ms <= over_ms):
        if clock.met_ms > clock.due_ms and clock.paused_ms == NEVER:
            return ClockView(clock, "late", clock.met_ms - clock.due_ms)
        return ClockView(clock, "met", max(0, clock.met_ms - clock.start_ms))
    if over_ms == NEVER and clock.paused_ms != NEVER:
        return ClockView(clock, "paused", clock.due_ms - clock.paused_ms)
    if over_ms == NEVER:
        return ClockView(clock, stand_of(clock, now_ms), abs(clock.due_ms - now_ms))
    if breached or (over_ms > clock.due_ms and clock.paused_ms == NEVER):
        return ClockView(clock, "missed", over_ms - clock.due_ms)
    return ClockView(clock, "stopped", max(0, over_ms - clock.start_ms))


def _due_ms(clock: Clock) -> tuple[int, str, str]:
    return clock.due_ms, clock.rule.name, clock.event
