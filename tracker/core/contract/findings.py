"""What is wrong with one saga, held against the expected map.

Findings follow from the facts and the declarations of today. Those that only time makes one (what is
missing may be under way) say from when on they count.
"""

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from tracker.core.chain import begin_ms, first_event
from tracker.core.cloudevent import SOURCE
from tracker.core.contract.expected import Edge, ExpectedMap
from tracker.core.flow import Flow
from tracker.core.saga import Saga, Seen, Step, with_marks
from tracker.core.status import standings
from tracker.core.way import UNNAMED, Walk, Way, events_of, walk

SKEW_MS = 500
"""Clocks of machines may differ by so much before the order of two events counts as wrong."""

GRACE_MS = 10_000
"""Topics are read at different speeds: what is not there so long after it should be is missing."""

FINDINGS_MAX = 50
"""Findings of one saga, the oldest first."""


class Kind(StrEnum):
    """unexpected: an event, or that one after its cause, is declared nowhere.
    missing: a service handled an event, and what it says always follows has not come.
    out-of-order: an event before its cause or before all that leads to it, or after the end of its flow.
    duplicate: one event published several times, or several where a service declares one.
    orphan: an event whose cause is unknown, or that is known by receipts alone.
    stuck: what is waited for takes much longer than it usually does.
    """

    UNEXPECTED = "unexpected"
    MISSING = "missing"
    OUT_OF_ORDER = "out-of-order"
    DUPLICATE = "duplicate"
    ORPHAN = "orphan"
    STUCK = "stuck"


class Finding(Struct, frozen=True, order=True, gc=False):
    """Something that should not be.

    Attributes
    ----------
    at_ms : from when on it counts, milliseconds since the epoch.
    event : id of the event it is about; "" for the saga as a whole.
    type : of that event; "" where it is not known.
    text : what, in words.
    """

    at_ms: int
    kind: Kind
    event: str
    type: str
    text: str


def findings(saga: Saga, expected: ExpectedMap, flow: Flow | None = None) -> tuple[Finding, ...]:
    """All that is wrong with the saga but what takes too long, the oldest first."""
    return () if faultless(saga, walk(saga), expected) else searched(saga, expected, flow)


def faultless(saga: Saga, walked: Walk | None, expected: ExpectedMap) -> bool:
    """Whether nothing can be wrong with a saga that was walked so, as with nearly all of them.

    If not, there may be something or not.
    """
    return walked is not None and in_time(saga, walked) and faultless_way(walked.way, expected)


def in_time(saga: Saga, walked: Walk) -> bool:
    """Whether no time of a saga, and no copy of an event, can be wrong."""
    if walked.copied or walked.tied:
        return False
    ended_ms = -1 if saga.course is None else saga.course.ended_ms
    return ended_ms < 0 or walked.times_ms[-1] <= ended_ms + SKEW_MS


def faultless_way(way: Way, expected: ExpectedMap) -> bool:
    """Whether nothing can be wrong with sagas that went this way, apart from their times."""
    events = list(events_of(way))
    came: set[tuple[int, str, str]] = set()
    for place, event in enumerate(events):
        if event.cause == UNNAMED:
            if place:
                return False
            continue
        # An effect that is later than its cause is in no circle.
        if not 0 <= event.cause < place:
            return False
        if expected.declared and (events[event.cause].type, event.source, event.type) not in expected.ways:
            return False
        if (event.cause, event.source, event.type) in came:
            return False
        came.add((event.cause, event.source, event.type))
    answered = {(cause, source) for cause, source, _ in came}
    owing = {
        (place, run.service)
        for place, event in enumerate(events)
        for run in event.runs
        if (event.type, run.service) in expected.always
    }
    return not expected.declared or owing <= answered


def searched(saga: Saga, expected: ExpectedMap, flow: Flow | None = None) -> tuple[Finding, ...]:
    """The same as `findings`, step by step for each kind.

    Of a saga that has more events than are kept it is not told what it lacks: it may be among the others.
    """
    saga = with_marks(saga)
    effects: dict[str, list[str]] = {}
    for event, step in saga.steps.items():
        if step.seen is not None and step.seen.cause:
            effects.setdefault(step.seen.cause, []).append(event)
    found = [*_copies(saga), *_repeats(saga, expected, effects)]
    found += [] if saga.truncated else _orphans(saga, effects)
    found += [*_disorder(saga, expected), *([] if flow is None else _after_the_end(saga, flow))]
    if expected.declared:
        found += _unexpected(saga, expected)
        found += [] if saga.truncated else _missing(saga, expected, effects)
    return tuple(sorted(found)[:FINDINGS_MAX])


def _finding(kind: Kind, event: str, seen: Seen, text: str, at_ms: int = -1) -> Finding:
    return Finding(seen.time_ms if at_ms < 0 else at_ms, kind, event, seen.type, text)


def _unexpected(saga: Saga, expected: ExpectedMap) -> Iterator[Finding]:
    first = first_event(saga)
    for event, step in saga.steps.items():
        seen = step.seen
        # The tracker publishes what the flow file says, in the version of the saga.
        if seen is None or seen == first or seen.source == SOURCE:
            continue
        if seen.type not in expected.known:
            text = f"no service declares {seen.type} here, and no flow file names it"
            yield _finding(Kind.UNEXPECTED, event, seen, text)
        elif seen.type not in expected.free:
            cause = _cause(saga, seen)
            if not seen.cause:
                text = f"{seen.type} from {seen.source} names no cause: {_declared(seen.type, expected)}"
                yield _finding(Kind.UNEXPECTED, event, seen, text)
            elif cause is not None and Edge(cause.type, seen.source, seen.type) not in expected.edge_set:
                text = (
                    f"{seen.type} from {seen.source} after {cause.type} is not declared: "
                    f"{_declared(seen.type, expected)}"
                )
                yield _finding(Kind.UNEXPECTED, event, seen, text)


def _declared(event_type: str, expected: ExpectedMap) -> str:
    ways = [f"{edge.service} after {edge.cause}" for edge in expected.leading_to.get(event_type, ())]
    return f"it comes from {', '.join(ways)}"


def _missing(saga: Saga, expected: ExpectedMap, effects: dict[str, list[str]]) -> Iterator[Finding]:
    steps = saga.steps
    # An event that is not known in full may be the one: its cause is not known.
    if any(step.seen is None for step in steps.values()):
        return
    begun_by = {child.event for child in saga.children}
    for event, step in steps.items():
        seen = step.seen
        if seen is None or event in begun_by:
            continue
        came = {_type(steps[effect]) for effect in effects.get(event, ())}
        for service, handling in standings(step).items():
            handler = expected.handler(seen.type, service)
            last = handling.standing
            if handler is None or not handler.always or last.outcome != "handled":
                continue
            if came.isdisjoint(handler.publishes):
                text = f"{service} handled {seen.type} and always publishes {' or '.join(handler.publishes)}"
                at_ms = last.at_ms + last.duration_us // 1000 + GRACE_MS
                yield _finding(Kind.MISSING, event, seen, f"{text}: nothing came", at_ms)


def _copies(saga: Saga) -> Iterator[Finding]:
    for event, step in saga.steps.items():
        seen = step.seen
        if seen is not None and step.copies and seen.source != SOURCE:  # all attempts of an undo are one
            text = f"{seen.type} was published {len(step.copies)} times under one id"
            yield _finding(Kind.DUPLICATE, event, seen, text)


def _repeats(saga: Saga, expected: ExpectedMap, effects: dict[str, list[str]]) -> Iterator[Finding]:
    """Where a service declares one of a type for each event, all but the first."""
    for cause, below in effects.items():
        caused_by = saga.steps[cause].seen if cause in saga.steps else None
        if caused_by is None or len(below) < 2:
            continue
        came: set[tuple[str, str]] = set()
        for seen, event in sorted(
            (seen, event) for event in below if (seen := saga.steps[event].seen) is not None
        ):
            handler = expected.handler(caused_by.type, seen.source)
            if handler is not None and seen.type in handler.once and (seen.source, seen.type) in came:
                text = f"{seen.source} publishes {seen.type} once for each {caused_by.type}, and here again"
                yield _finding(Kind.DUPLICATE, event, seen, text)
            came.add((seen.source, seen.type))


def _orphans(saga: Saga, effects: dict[str, list[str]]) -> Iterator[Finding]:
    steps = saga.steps
    reached: set[str] = set()
    todo: list[str] = []
    for event, step in steps.items():
        seen = step.seen
        if seen is None:
            since_ms = begin_ms(step)
            services = ", ".join(sorted({handling.service for handling in step.handlings}))
            text = f"{services} told of this event, and it was read on no topic"
            yield Finding(since_ms + GRACE_MS, Kind.ORPHAN, event, "", text)
        elif seen.cause and seen.cause not in steps:
            text = f"its cause {seen.cause} is no event of this saga"
            yield _finding(Kind.ORPHAN, event, seen, text, seen.time_ms + GRACE_MS)
        elif seen.cause:
            continue
        todo.append(event)
    while todo:
        event = todo.pop()
        if event not in reached:
            reached.add(event)
            todo += effects.get(event, ())
    if len(reached) < len(steps):
        for event, step in steps.items():
            if event not in reached and step.seen is not None:
                yield _finding(Kind.ORPHAN, event, step.seen, "its causes lead back to itself, in a circle")


def _disorder(saga: Saga, expected: ExpectedMap) -> Iterator[Finding]:
    earliest: dict[str, int] = {}
    for step in saga.steps.values():
        if step.seen is not None:
            known_ms = earliest.get(step.seen.type, step.seen.time_ms)
            earliest[step.seen.type] = min(step.seen.time_ms, known_ms)
    for event, step in saga.steps.items():
        seen = step.seen
        if seen is None or seen.source == SOURCE:
            continue
        cause = _cause(saga, seen)
        if cause is not None and cause.time_ms - seen.time_ms > SKEW_MS:
            text = f"{seen.type} is {cause.time_ms - seen.time_ms} ms older than its cause {cause.type}"
            yield _finding(Kind.OUT_OF_ORDER, event, seen, text)
        elif not seen.cause and seen.type != expected.begins:
            before = {edge.cause for edge in expected.leading_to.get(seen.type, ())} & earliest.keys()
            if before and min(earliest[name] for name in before) - seen.time_ms > SKEW_MS:
                text = f"{seen.type} came before {' and '.join(sorted(before))}"
                yield _finding(Kind.OUT_OF_ORDER, event, seen, text)


def _after_the_end(saga: Saga, flow: Flow) -> Iterator[Finding]:
    ended_ms = -1 if saga.course is None else saga.course.ended_ms
    if ended_ms < 0:
        return
    for event, step in saga.steps.items():
        seen = step.seen
        if seen is None or seen.type not in flow.events or seen.type in flow.ends:
            continue
        if seen.time_ms - ended_ms > SKEW_MS:
            yield _finding(Kind.OUT_OF_ORDER, event, seen, f"{seen.type} came after the saga had ended")


def _cause(saga: Saga, seen: Seen) -> Seen | None:
    step = saga.steps.get(seen.cause)
    return None if step is None else step.seen


def _type(step: Step) -> str:
    return "" if step.seen is None else step.seen.type
