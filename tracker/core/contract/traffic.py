"""The discovered map: what sagas really did, counted, saga by saga.

What a saga adds is its `Passage`, which is read off the saga and its status. So a saga that has changed is
taken back as it was and counted as it is, and the counts of several partitions are merged. A status also
follows from who is subscribed: whoever takes back later keeps it, or the passage, with the saga.
"""

from collections.abc import Container, Iterator
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from tracker.core.bounded import Counts
from tracker.core.chain import began_ms, forward_events
from tracker.core.contract.expected import Edge
from tracker.core.discovery import DirectlyFollows, Trace, Variants, in_order, trace_of
from tracker.core.quantiles import Sketches
from tracker.core.saga import Attempt, Handling, Saga, Seen, with_marks
from tracker.core.status import ENDED, UNANSWERED, Status, standings

NOBODY = ""
"""Stands for the service where the answer is simply the next event."""


class At(Struct, frozen=True, order=True, gc=False):
    """A service, and the type of the events that it handles."""

    type: str
    service: str


class Runs(NamedTuple):
    """What became of one event at one service.

    Attributes
    ----------
    handled_us : how long the attempts took that handled it.
    failed : attempts that are or were to be followed by another one.
    answered_ms : from the event to the end of the last attempt; -1 as long as that is not the last one.
    """

    at: At
    handled_us: tuple[int, ...]
    failed: int
    ignored: bool
    dead_lettered: bool
    answered_ms: int


class Passage(NamedTuple):
    """How one saga went through the map.

    Attributes
    ----------
    types : of all events, oldest first.
    after_ms : when each came, since the saga began.
    edges : what caused what, and the time between; without a known cause there is none.
    begun : types of events and of the sagas' first events that they began.
    stays : types on the way of the business, and how long each was the newest.
    where : the newest of them, or "".
    went : how it went as a whole, once it has ended.
    """

    types: tuple[str, ...]
    after_ms: tuple[int, ...]
    edges: tuple[tuple[Edge, int], ...]
    begun: tuple[tuple[str, str], ...]
    runs: tuple[Runs, ...]
    stays: tuple[tuple[str, int], ...]
    where: str
    status: Status
    went: Trace | None


def passage(saga: Saga, status: Status, undoing: Container[str] = frozenset()) -> Passage:
    """What a saga adds to the map; `undoing` are types that are not on the way (`Flow.undo_words`).

    Of a saga that has more events than are kept the kept ones count.
    """
    saga = with_marks(saga)
    seen = in_order(saga)
    forward = forward_events(saga, undoing)
    since_ms = began_ms(saga)
    steps = saga.steps
    edges = []
    for event in seen:
        cause = steps[event.cause].seen if event.cause in steps else None
        if cause is not None:
            edges.append((Edge(cause.type, event.source, event.type), event.time_ms - cause.time_ms))
    begun = [
        (parent.type, child.type)
        for child in saga.children
        if child.event in steps and (parent := steps[child.event].seen) is not None
    ]
    return Passage(
        tuple(event.type for event in seen),
        tuple(event.time_ms - since_ms for event in seen),
        tuple(edges),
        tuple(begun),
        tuple(_runs(saga)),
        tuple((event.type, after.time_ms - event.time_ms) for event, after in pairwise(forward)),
        forward[-1].type if forward else "",
        status,
        trace_of(seen) if status in ENDED else None,
    )


def edges_of(saga: Saga) -> set[Edge]:
    """The edges of its passage, without their times."""
    steps = with_marks(saga).steps
    return {
        Edge(cause.type, seen.source, seen.type)
        for step in steps.values()
        if (seen := step.seen) is not None
        and seen.cause in steps
        and (cause := steps[seen.cause].seen) is not None
    }


def answer_times(saga: Saga, undoing: Container[str] = frozenset()) -> Iterator[tuple[At, int]]:
    """How long each answer took, and each wait for the next event: the past of waits (`stuck`)."""
    for step in saga.steps.values():
        if step.seen is not None:
            for service, handling in standings(step).items():
                answered_ms = _answered_ms(step.seen, handling.standing)
                if answered_ms >= 0:
                    yield At(step.seen.type, service), answered_ms
    for event, after in pairwise(forward_events(saga, undoing)):
        yield At(event.type, NOBODY), after.time_ms - event.time_ms


def _runs(saga: Saga) -> Iterator[Runs]:
    for step in saga.steps.values():
        if step.seen is None:
            continue
        by_service: dict[str, list[Handling]] = {}
        for handling in step.handlings:
            by_service.setdefault(handling.service, []).append(handling)
        for service, standing in standings(step).items():
            attempts = [attempt for each in by_service[service] for attempt in each.attempts]
            last = standing.standing
            yield Runs(
                At(step.seen.type, service),
                tuple(attempt.duration_us for attempt in attempts if attempt.outcome == "handled"),
                sum(1 for attempt in attempts if attempt.outcome == "retrying"),
                last.outcome == "ignored",
                last.outcome == "dead-lettered",
                _answered_ms(step.seen, last),
            )


def _answered_ms(seen: Seen, last: Attempt) -> int:
    if last.outcome in UNANSWERED:
        return -1
    return max(0, last.at_ms + last.duration_us // 1000 - seen.time_ms)


class Traffic:
    """All sagas of one flow, counted. Whatever comes, each of its counts tells a bounded number apart.

    Attributes
    ----------
    sagas : how many there are.
    events : by type, how long after the beginning of the saga each came.
    reached : by type how many sagas have such an event.
    edges : by edge the time from the cause to the effect.
    begun : by types of cause and first event how many sagas were begun.
    handled_us : how long attempts took that handled an event, in microseconds.
    failed, ignored, dead_lettered : attempts that failed and were or are repeated; events that were given up.
    answers : from the event until its service had done with it; of `NOBODY` until the next event came.
    standing : how many sagas are where, and how they stand; `where` is the newest event on their way.
    variants : of those that have ended.
    """

    def __init__(self) -> None:
        self.sagas = 0
        self.events: Sketches[str] = Sketches()
        self.reached: Counts[str] = Counts()
        self.edges: Sketches[Edge] = Sketches()
        self.begun: Counts[tuple[str, str]] = Counts()
        self.handled_us: Sketches[At] = Sketches()
        self.failed: Counts[At] = Counts()
        self.ignored: Counts[At] = Counts()
        self.dead_lettered: Counts[At] = Counts()
        self.answers: Sketches[At] = Sketches()
        self.standing: Counts[tuple[str, Status]] = Counts()
        self.follows = DirectlyFollows()
        self.variants = Variants()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Traffic) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # equal by what may change: no key for a dict

    def add(self, went: Passage, sign: int = 1) -> None:
        """Count a saga; with the sign -1 take back one that was counted with this passage."""
        self.sagas += sign
        for event_type, after_ms in zip(went.types, went.after_ms, strict=True):
            self.events.add(event_type, after_ms, sign)
        for event_type in dict.fromkeys(went.types):
            self.reached.add(event_type, sign)
        for edge, took_ms in went.edges:
            self.edges.add(edge, took_ms, sign)
        for pair in went.begun:
            self.begun.add(pair, sign)
        for runs in went.runs:
            self._add_runs(runs, sign)
        for event_type, stay_ms in went.stays:
            self.answers.add(At(event_type, NOBODY), stay_ms, sign)
        self.standing.add((went.where, went.status), sign)
        self.follows.add(went.types, sign)
        if went.went is not None:
            self.variants.add(went.went, sign)

    def merge(self, other: "Traffic") -> None:
        """Count all that the other one has counted."""
        self.sagas += other.sagas
        self.events.merge(other.events)
        self.reached.merge(other.reached)
        self.edges.merge(other.edges)
        self.begun.merge(other.begun)
        self.handled_us.merge(other.handled_us)
        self.failed.merge(other.failed)
        self.ignored.merge(other.ignored)
        self.dead_lettered.merge(other.dead_lettered)
        self.answers.merge(other.answers)
        self.standing.merge(other.standing)
        self.follows.merge(other.follows)
        self.variants.merge(other.variants)

    @property
    def other(self) -> int:
        """How often something was counted that is not told apart, because there is too much of its kind."""
        return self.events.other.count + self.edges.other.count + self.handled_us.other.count

    def _add_runs(self, runs: Runs, sign: int) -> None:
        for took_us in runs.handled_us:
            self.handled_us.add(runs.at, took_us, sign)
        if runs.failed:
            self.failed.add(runs.at, sign * runs.failed)
        if runs.ignored:
            self.ignored.add(runs.at, sign)
        if runs.dead_lettered:
            self.dead_lettered.add(runs.at, sign)
        if runs.answered_ms >= 0:
            self.answers.add(runs.at, runs.answered_ms, sign)
