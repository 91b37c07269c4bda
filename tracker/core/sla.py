"""Deadlines: which clocks run for a saga, and what has to be told when time moves on.

Nothing is stored of a clock but what was told of it: it follows from the events and the flow. Time is
the watermark of `tracker.core.clock`: whatever was to come until then has come. So an event that is in
time is never too late because we read it late, and a clock that is over before its deadline is silent
whenever we hear of it. While a saga is paused its clocks stand still: a deadline that had not come moves by
the length of the pause.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from msgspec import Struct

from tracker.core.course import TOLD_MAX, Course, Pause, Told
from tracker.core.flow import Answer, Between, Flow, Rule, Silence
from tracker.core.saga import SILENCE_TOLD_MS
from tracker.core.status import UNANSWERED, standings
from tracker.core.timeline import Timeline

NEVER = -1

_NOTHING_TOLD: Mapping[tuple[str, str], Told] = {}


class Clock(Struct, frozen=True, gc=False):
    """A deadline of a saga.

    Attributes
    ----------
    event : id of the event that started it, for rules with a clock for each event; else "".
    warn_at_ms : when to warn; -1 for never.
    met_ms : when came what is awaited; -1 as long as it has not.
    paused_ms : since when it stands still, -1 if it runs; `due_ms` is when it would be due had it run on.
    """

    rule: Rule
    event: str
    start_ms: int
    due_ms: int
    warn_at_ms: int
    met_ms: int
    paused_ms: int = NEVER


def clocks(flow: Flow, timeline: Timeline, pauses: Sequence[Pause] = ()) -> Iterator[Clock]:
    """All clocks of a saga that have started, whether they still run or not."""
    started = _started(flow, timeline, pauses)
    return (_with_pauses(clock, pauses) for clock in started) if pauses else started


def _started(flow: Flow, timeline: Timeline, pauses: Sequence[Pause]) -> Iterator[Clock]:
    for rule in flow.rules:
        if isinstance(rule, Between):
            if rule.start in timeline.by_type:
                yield _between(rule, flow, timeline)
        elif isinstance(rule, Silence):
            yield from _silence(rule, timeline, pauses)
        else:
            yield from _answers(rule, timeline)


def _with_pauses(clock: Clock, pauses: Sequence[Pause]) -> Clock:
    due_ms, paused_ms = _moved(clock.due_ms, clock.start_ms, pauses)
    warn_at_ms = NEVER if clock.warn_at_ms == NEVER else _moved(clock.warn_at_ms, clock.start_ms, pauses)[0]
    return Clock(clock.rule, clock.event, clock.start_ms, due_ms, warn_at_ms, clock.met_ms, paused_ms)


def _moved(due_ms: int, start_ms: int, pauses: Sequence[Pause]) -> tuple[int, int]:
    """When something is due that the pauses behind its start have put off, and since when it stands still."""
    for pause in pauses:
        from_ms = max(pause.from_ms, start_ms)
        if due_ms <= from_ms:
            break
        if pause.to_ms == NEVER:
            return due_ms, from_ms
        due_ms += max(0, pause.to_ms - from_ms)
    return due_ms, NEVER


def stopped_ms(course: Course) -> int:
    """When the clocks of a saga stopped: at its end, or where its compensation began; -1 if they run."""
    if course.compensation is not None:
        began = course.compensation.at_ms
        return began if course.ended_ms == NEVER else min(began, course.ended_ms)
    return course.ended_ms


class Judgement(NamedTuple):
    """What time has brought: what is told of the clocks by now, what of it is new, what is due next."""

    told: tuple[Told, ...]
    news: list[Told]
    next_ms: int


def judge(flow: Flow, timeline: Timeline, course: Course, now_ms: int | None) -> Judgement:
    """Judge all clocks at `now_ms`, or not yet where it is None."""
    over_ms = stopped_ms(course)
    known = {(told.rule, told.event): told for told in course.told} if course.told else _NOTHING_TOLD
    told = dict(known)
    next_ms = NEVER
    for clock in clocks(flow, timeline, course.pauses):
        if 0 <= clock.met_ms <= clock.due_ms and not known:
            continue  # the most frequent case by far
        key = clock.rule.name, clock.event
        before = known.get(key)
        if before is not None and before.breached:
            told[key] = _with_arrival(before, clock)
            continue
        if clock.paused_ms != NEVER:
            continue
        ended_ms = clock.met_ms if clock.met_ms != NEVER else over_ms
        if ended_ms != NEVER and ended_ms <= clock.due_ms:
            continue
        if now_ms is not None and now_ms >= clock.due_ms:
            late_ms = clock.met_ms - clock.due_ms if clock.met_ms != NEVER else NEVER
            told[key] = Told(*key, True, clock.due_ms, late_ms)
            continue
        warns = clock.warn_at_ms != NEVER and before is None and ended_ms == NEVER
        if warns and now_ms is not None and now_ms >= clock.warn_at_ms:
            told[key] = Told(*key, False, clock.due_ms)
            warns = False
        due_ms = clock.warn_at_ms if warns else clock.due_ms
        next_ms = due_ms if next_ms == NEVER else min(next_ms, due_ms)
    if len(told) > TOLD_MAX:
        told = dict(islice(told.items(), TOLD_MAX))  # what is known stands first
    if told == known:
        return Judgement(course.told, [], next_ms)
    news = [
        now
        for key, now in told.items()
        if (before := known.get(key)) is None or before.breached != now.breached
    ]
    return Judgement(tuple(sorted(told.values())), news, next_ms)


def _with_arrival(told: Told, clock: Clock) -> Told:
    """A breach that was told before what was awaited came: note by how much it was late."""
    if told.late_ms != NEVER:
        return told
    came_ms = clock.met_ms
    if isinstance(clock.rule, Silence) and clock.start_ms > told.due_ms:
        came_ms = clock.start_ms
    if came_ms == NEVER:
        return told
    return Told(told.rule, told.event, True, told.due_ms, max(0, came_ms - told.due_ms))


def _clock(rule: Rule, event: str, start_ms: int, met_ms: int) -> Clock:
    warn_at_ms = NEVER if rule.warn_ms == NEVER else start_ms + rule.warn_ms
    return Clock(rule, event, start_ms, start_ms + rule.within_ms, warn_at_ms, met_ms)


def _between(rule: Between, flow: Flow, timeline: Timeline) -> Clock:
    by_type = timeline.by_type
    start_ms, start = by_type[rule.start][0]
    met_ms = NEVER
    for name in rule.ends or flow.ends:
        if name in by_type:
            for time_ms, event in by_type[name]:
                if met_ms != NEVER and time_ms >= met_ms:
                    break
                # Clocks of machines may disagree: an effect counts even if it claims to precede its cause.
                if time_ms >= start_ms or start in timeline.causes(event):
                    met_ms = time_ms
                    break
    return _clock(rule, "", start_ms, met_ms)


def _silence(rule: Silence, timeline: Timeline, pauses: Sequence[Pause]) -> Iterator[Clock]:
    if timeline.sample is not None:  # between two of its events there may have been others
        yield _clock(rule, "", timeline.sample.last_ms + SILENCE_TOLD_MS, NEVER)
        return
    times = timeline.times()
    if not times:
        return
    for before_ms, after_ms in pairwise(times):
        due_ms, paused_ms = _moved(before_ms + rule.within_ms, before_ms, pauses)
        if after_ms > due_ms and paused_ms == NEVER:
            yield _clock(rule, "", before_ms, after_ms)
            return
    yield _clock(rule, "", times[-1], NEVER)


def _answers(rule: Answer, timeline: Timeline) -> Iterator[Clock]:
    for time_ms, event in timeline.of(rule.event):
        step = timeline.steps.get(event)
        if step is None:
            continue  # beyond the limit: who has answered it is not known
        handling = standings(step).get(rule.service)
        met_ms = NEVER
        if handling is not None and handling.standing.outcome not in UNANSWERED:
            met_ms = handling.standing.at_ms + handling.standing.duration_us // 1000
        yield _clock(rule, event, time_ms, met_ms)
