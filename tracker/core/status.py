"""How a saga stands: who has not answered yet, and what that makes of the whole.

A status is never stored. It is read off the facts, the subscriptions and the course, and moves as they
do. A saga of a flow ends where its flow file says so:

from              to            because
open, retrying    retrying      a handler failed and is going to try again
                  open          it answered
                  completed     an event came with which the flow is completed
                  failed        one came with which it has failed
                  cancelled     an operator ended it, and nothing is undone
any               compensating  a trigger of the flow, or an operator
compensating      compensated   all undos are settled and the last event is published
                  stuck         an undo has used up its attempts
stuck             compensating  an operator had it tried again, skipped it or did it by hand
compensated       compensating  another event came that has to be undone
any               paused        an operator or a rule of the flow has its events left alone for now
paused            what it was   an operator let it go on

One of no known flow ends when nobody is left to answer:

open, retrying    retrying      a handler failed and is going to try again
                  open          it answered, and others have not
                  failed        the last answer came, and some event was dead-lettered
                  completed     the last answer came
failed, completed open          a late event, a new subscriber
failed            completed     the dead letter was sent again and handled
any but an end    cancelled     an operator ended it
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from msgspec import Struct

from tracker.core.chain import begin_ms
from tracker.core.course import Course
from tracker.core.saga import Handling, Saga, Step
from tracker.core.subscriptions import Subscriptions


class Status(StrEnum):
    """The ways a saga can stand.

    open : it goes on: a subscribed service has not answered an event, or the flow is not at its end.
    retrying : the same, and a handler that failed is going to try again.
    paused : services park its events, its clocks stand still and nothing is undone, until `saga resume`.
    compensating : what was done for it is being undone.
    stuck : an undo has failed for good: an operator has to `saga retry`, `skip` or `done` it.
    compensated : all that was done for it is undone.
    failed : the flow ended so; without a flow: nobody is left to answer, and an event was dead-lettered.
    cancelled : an operator ended it, without undoing anything.
    completed : the flow ended so; without a flow: every subscribed service has answered every event.
    """

    OPEN = "open"
    RETRYING = "retrying"
    PAUSED = "paused"
    COMPENSATING = "compensating"
    STUCK = "stuck"
    COMPENSATED = "compensated"
    FAILED = "failed"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


UNANSWERED = frozenset({"retrying", "parked"})
"""What a handler says of an event that it is going to handle."""

ENDED = frozenset({Status.COMPENSATED, Status.FAILED, Status.CANCELLED, Status.COMPLETED})
"""Nothing more is going to happen by itself."""


class Waiting(Struct, frozen=True, gc=False):
    """A service that owes an answer to an event.

    Attributes
    ----------
    type : of the event; "" as long as only receipts tell of it.
    since_ms : the event's own time, milliseconds since the epoch.
    attempt : the last failed one, counted from 1; 0 when the service has not answered at all.
    error : class of the exception of that attempt.
    retry_at_ms : when the next attempt is due; -1 when not known.
    parked_ms : since when the service has the event parked, as the saga is paused; -1 if it has not.
    """

    event: str
    type: str
    service: str
    handler: str
    since_ms: int
    attempt: int = 0
    error: str = ""
    retry_at_ms: int = -1
    parked_ms: int = -1

    @property
    def retrying(self) -> bool:
        return self.attempt > 0


class DeadLettered(Struct, frozen=True, gc=False):
    """A service gave an event up."""

    event: str
    handling: Handling


def status(saga: Saga, subscriptions: Subscriptions) -> Status:
    """How the saga as a whole stands."""
    return judged(saga, waiting(saga, subscriptions), dead_letters(saga))


def judged(saga: Saga, owed: Sequence[Waiting], given_up: Sequence[DeadLettered]) -> Status:
    """The same, from answers that have been asked for already."""
    by_course = None if saga.course is None else decided(saga.course)
    if by_course is not None:
        return by_course
    if any(answer.retrying for answer in owed):
        return Status.RETRYING
    if saga.course is not None and saga.course.flow:
        return Status.OPEN
    if owed or not saga.steps or any(step.seen is None for step in saga.steps.values()):
        return Status.OPEN
    return Status.FAILED if given_up else Status.COMPLETED


def decided(course: Course) -> Status | None:
    """How the saga stands by what the tracker has decided; None where it has not decided anything."""
    if course.paused is not None:
        return Status.PAUSED
    undoing = course.compensation
    if undoing is not None:
        if undoing.stuck:
            return Status.STUCK
        return Status.COMPENSATED if undoing.done_ms >= 0 else Status.COMPENSATING
    return Status(course.outcome) if course.outcome else None


def waiting(saga: Saga, subscriptions: Subscriptions) -> list[Waiting]:
    """Who owes an answer: subscribed services without a receipt, and handlers that try again.

    The one that has been waited for longest comes first.
    """
    owed = [answer for event, step in saga.steps.items() for answer in _owed(event, step, subscriptions)]
    return sorted(owed, key=lambda answer: (answer.since_ms, answer.event, answer.service))


def dead_letters(saga: Saga) -> list[DeadLettered]:
    """Events that a service gave up, oldest first."""
    found = [
        DeadLettered(event, handling)
        for event, step in saga.steps.items()
        for handling in standings(step).values()
        if handling.standing.outcome == "dead-lettered"
    ]
    return sorted(found, key=lambda letter: (letter.handling.standing.at_ms, letter.event))


def standings(step: Step) -> dict[str, Handling]:
    """By service, what it says of this event.

    A service answers with any of its handlers: it has one for each version of an event, and a
    deployment may give a handler another name between two attempts.
    """
    if len(step.handlings) == 1:
        return {step.handlings[0].service: step.handlings[0]}
    found: dict[str, Handling] = {}
    for handling in step.handlings:
        other = found.get(handling.service)
        if other is None or other.standing < handling.standing:
            found[handling.service] = handling
    return found


def _owed(event: str, step: Step, subscriptions: Subscriptions) -> Iterator[Waiting]:
    answers = standings(step)
    seen = step.seen
    event_type = "" if seen is None else seen.type
    for service, handling in answers.items():
        last = handling.standing
        if last.outcome == "parked":
            yield Waiting(event, event_type, service, handling.handler, begin_ms(step), parked_ms=last.at_ms)
        elif last.outcome == "retrying":
            since_ms = begin_ms(step)
            yield Waiting(
                event,
                event_type,
                service,
                handling.handler,
                since_ms,
                last.number,
                last.error,
                last.retry_at_ms,
            )
    if seen is not None:
        for service, handler in {s.service: s.handler for s in subscriptions.of(seen.type)}.items():
            if service not in answers:
                yield Waiting(event, event_type, service, handler, seen.time_ms)
