"""The row of a saga as nearly all are, by its way and its times (`tracker.core.way`).

`row_of` and what it asks walk over the steps a dozen times, which is what reading many sagas waited for. A
saga that is not plain is left to it: one that is being undone or was paused, or that takes a closer look.
Where both can tell, they tell the same (tests/property/test_plain.py).
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from msgspec import Struct

from tracker.core.chain import UNKNOWN_FLOW
from tracker.core.contract.expected import Edge, ExpectedMap
from tracker.core.contract.findings import faultless_way, in_time, searched
from tracker.core.course import Course
from tracker.core.discovery import trace, trace_types, variant_id
from tracker.core.flow import Flow
from tracker.core.saga import Saga, with_marks
from tracker.core.status import ENDED, Status, decided
from tracker.core.way import DEAD_LETTERED, RETRYING, UNNAMED, Walk, events_of
from tracker.view.clocks import running_clocks
from tracker.view.known import Known
from tracker.view.model.shape import SEPARATOR, several, stored, variant_number

ERRORS_MAX = 10
ERROR_LENGTH_MAX = 500

_INT_MAX = 2**63 - 1
_WAYS_MAX = 10_000


class _Alike(Struct, frozen=True, gc=False):
    """What follows from the way of a saga and its flow.

    Attributes
    ----------
    place : of the newest event on the way forward; -1 without one.
    unanswered : places of the events that some service has not answered.
    owing : whether some service owes an answer, also one that tries again.
    """

    flow: Flow | None
    expected: ExpectedMap
    begins: str
    place: int
    place_type: str
    unanswered: tuple[int, ...]
    owing: bool
    given_up: bool
    waiting_for: str
    services: str
    types: str
    edges: str
    variant: int
    faultless: bool


def plain_fields(saga: Saga, walked: Walk | None, known: Known) -> tuple[Any, ...] | None:
    """The fields of `SagaRow` between `id` and `partition`; None if the saga is not plain.

    `walked`: the saga, with the undo words of its flow.
    """
    course = saga.course
    if walked is None or (course is not None and (course.compensation is not None or course.pauses)):
        return None
    alike = _alike(saga, walked, known)
    times_ms = walked.times_ms
    stands = _status(course, alike, walked)
    in_flight = stands not in ENDED
    version = course.flow_version if course is not None and course.flow else 0
    waits_ms: int | None = None
    if in_flight and alike.owing:
        waits_ms = min(_since_ms(alike, walked))
    elif version and alike.place >= 0 and stands is Status.OPEN:
        waits_ms = times_ms[alike.place]
    clocks = running_clocks(saga, alike.flow)
    warnings = [clock.warn_at_ms for clock in clocks if clock.warn_at_ms >= 0]
    whole = alike.faultless and in_time(saga, walked)
    found = () if whole else searched(saga, alike.expected, alike.flow)
    over_ms = course.ended_ms if course is not None and course.ended_ms >= 0 else walked.acted_ms
    return (
        stored(course.flow) if version and course is not None else UNKNOWN_FLOW,
        version,
        alike.begins,
        stands.value,
        stored(walked.key),
        alike.place_type,
        bounded(times_ms[0]),
        bounded(walked.acted_ms),
        None if in_flight else bounded(over_ms),
        # The order of events of one millisecond follows from what caused them, which the way does not have.
        None if in_flight else variant_of(saga) if walked.tied else alike.variant,
        None if waits_ms is None else bounded(waits_ms),
        bounded(min(warnings)) if warnings else None,
        bounded(clocks[0].due_ms) if clocks else None,
        bounded(found[0].at_ms) if found else None,
        len(saga.steps),
        alike.waiting_for if in_flight else "",
        alike.services,
        alike.types,
        alike.edges,
        several({finding.kind.value for finding in found}) if found else "",
        errors_text(standing_errors(saga)) if walked.erring else "",
        int(alike.flow is not None),
    )


def standing_errors(saga: Saga) -> dict[str, None]:
    """What handlers failed with, each once; what was overcome is none."""
    found: dict[str, None] = {}
    for step in saga.steps.values():
        for handling in step.handlings:
            last = handling.standing
            if last.error and not last.settled:
                found[f"{handling.service}: {last.error}: {last.message}"] = None
    return found


def errors_text(errors: Iterable[str]) -> str:
    """As the column `errors` has them: each once, the first ones of the saga."""
    return stored(SEPARATOR.join(error[:ERROR_LENGTH_MAX] for error in islice(errors, ERRORS_MAX)))


def variant_of(saga: Saga) -> int:
    """The number of the variant that it went."""
    return variant_number(variant_id(trace(with_marks(saga)).types))


def bounded(time_ms: int) -> int:
    """Times are as producers give them: a database takes 64 bits."""
    return max(-_INT_MAX, min(time_ms, _INT_MAX))


def _alike(saga: Saga, walked: Walk, known: Known) -> _Alike:
    """Made once for each way, as long as there are not too many of them."""
    course = saga.course
    key = walked.way, "" if course is None else course.flow, 0 if course is None else course.flow_version
    found: _Alike | None = known.ways.get(key)
    if found is None:
        if len(known.ways) >= _WAYS_MAX:
            known.ways.clear()
        found = known.ways[key] = _made(saga, walked, known)
    return found


def _made(saga: Saga, walked: Walk, known: Known) -> _Alike:
    events = list(events_of(walked.way))
    expected = known.expected(saga)
    services = {run.service for event in events for run in event.runs}
    owing = {run.service for event in events for run in event.runs if run.code == RETRYING}
    unanswered = []
    for place, event in enumerate(events):
        answered = {run.service for run in event.runs}
        silent = {each.service for each in known.subscriptions.of(event.type)} - answered
        if silent:
            owing |= silent
            unanswered.append(place)
    newest = max((place for place, event in enumerate(events) if event.forward), default=-1)
    return _Alike(
        known.flow_of(saga),
        expected,
        next((stored(event.type) for event in events if event.cause == UNNAMED), ""),
        newest,
        stored(events[newest].type) if newest >= 0 else "",
        tuple(unanswered),
        bool(owing),
        any(run.code == DEAD_LETTERED for event in events for run in event.runs),
        several(owing),
        several(services),
        several({event.type for event in events}),
        several(
            {Edge(events[each.cause].type, each.source, each.type).id for each in events if each.cause >= 0}
        ),
        variant_number(variant_id(trace_types(tuple(event.type for event in events)))),
        faultless_way(walked.way, expected),
    )


def _since_ms(alike: _Alike, walked: Walk) -> Iterator[int]:
    """Since when each answer is awaited."""
    if walked.retry_ms is not None:
        yield walked.retry_ms
    for place in alike.unanswered:
        yield walked.times_ms[place]


def _status(course: Course | None, alike: _Alike, walked: Walk) -> Status:
    """As `judged`, for a saga of which every event has been read."""
    by_course = None if course is None else decided(course)
    if by_course is not None:
        return by_course
    if walked.retried:
        return Status.RETRYING
    if alike.owing or (course is not None and course.flow):
        return Status.OPEN
    return Status.FAILED if alike.given_up else Status.COMPLETED
