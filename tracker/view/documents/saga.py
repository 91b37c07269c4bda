"""One saga: every event with its cause and its receipts, and all that follows from them."""

from msgspec import Struct

from saga.core.receipt import Outcome
from tracker.core.chain import Link, chain
from tracker.core.cloudevent import SOURCE
from tracker.core.course import Act
from tracker.core.prediction import Forecast
from tracker.core.saga import Attempt, Handling, Saga
from tracker.core.status import Status, waiting
from tracker.view.clocks import clock_views
from tracker.view.documents.clocks import ClockDocument, clock_document
from tracker.view.documents.contract import AheadDocument, ahead_document
from tracker.view.documents.moment import moment, timestamp
from tracker.view.documents.row import SagaHead, WaitingDocument, saga_summary, waiting_document
from tracker.view.documents.undo import CompensationDocument, compensation_document
from tracker.view.kin import NO_RELATIVES, ChildView, ParentView, Relatives, child_views, parent_view
from tracker.view.known import Known
from tracker.view.outlook import NO_OUTLOOK, Outlook
from tracker.view.row import row_of
from tracker.view.undo import undo_views


class ParentDocument(Struct, frozen=True, gc=False):
    """The saga one of whose events began this one."""

    saga: str
    event: str | None
    type: str | None


class ChildDocument(Struct, frozen=True, gc=False):
    """A saga that an event of this one began; `status` is null if nothing else is known of it."""

    saga: str
    event: str | None
    began: str
    begins: str
    flow: str | None
    status: Status | None


class ActDocument(Struct, frozen=True, gc=False):
    """What an operator asked for, and whether it was done; `message` says why not."""

    command: str
    action: str
    by: str
    reason: str
    at: str
    accepted: bool
    message: str


class AttemptDocument(Struct, frozen=True, gc=False):
    """One attempt of a handler, counted from 1."""

    number: int
    outcome: Outcome
    at: str
    duration_ms: float
    error: str
    message: str
    retry_at: str | None


class HandlingDocument(Struct, frozen=True, gc=False):
    """What a service did with an event; `outcome` is that of its last attempt."""

    service: str
    handler: str
    outcome: Outcome
    attempts: list[AttemptDocument]


class EventDocument(Struct, frozen=True, gc=False):
    """An event of a saga: `type` and what belongs to it are null as long as only receipts tell of it.

    `after_ms` counts from its cause, `depth` how many causes it has; `copies` are further places, each with
    topic, partition and offset, at which it stands.
    """

    id: str
    type: str | None
    version: int | None
    source: str | None
    time: str | None
    key: str | None
    cause: str | None
    topic: str | None
    partition: int | None
    offset: int | None
    by_tracker: bool
    depth: int
    after_ms: int | None
    cause_unknown: bool
    copies: list[tuple[str, int, int]]
    handled_by: list[HandlingDocument]
    waiting_for: list[WaitingDocument]


class SagaDocument(SagaHead, frozen=True, kw_only=True, gc=False):
    """Everything that is known of one saga; of `events` causes come first.

    Attributes
    ----------
    truncated : there are more events than are kept and shown here.
    events_in_all : how many events it has; about as many, if it is truncated.
    flow_known : whether the version of its flow is; without it not all of deadlines and undos is told.
    services_known : whether any service has announced what it handles.
    """

    still_to_come: list[AheadDocument]
    truncated: bool
    events_in_all: int
    flow_known: bool
    services_known: bool
    parent: ParentDocument | None
    children: list[ChildDocument]
    outcome: str | None
    ended: str | None
    clocks: list[ClockDocument]
    compensation: CompensationDocument | None
    history: list[ActDocument]
    events: list[EventDocument]


def saga_document(
    saga: Saga,
    known: Known,
    now_ms: int,
    forecast: Forecast | None = None,
    relatives: Relatives = NO_RELATIVES,
    outlook: Outlook = NO_OUTLOOK,
) -> SagaDocument:
    """What a list tells of it, all that was decided, and its events."""
    row = row_of(saga, known)
    owed = waiting(saga, known.subscriptions)
    flow, course = known.flow_of(saga), saga.course
    undoing = None if course is None else course.compensation
    parent = parent_view(saga, relatives)
    undos = [] if undoing is None else undo_views(saga, flow, known.subscriptions)
    head = saga_summary(row, now_ms, forecast, outlook.findings)
    return SagaDocument(
        **{name: getattr(head, name) for name in SagaHead.__struct_fields__},
        still_to_come=[ahead_document(step) for step in outlook.ahead],
        truncated=saga.truncated,
        events_in_all=saga.events,
        flow_known=flow is not None,
        services_known=bool(known.subscriptions.services),
        parent=None if parent is None else _parent(parent),
        children=[_child(child) for child in child_views(saga, relatives, known)],
        outcome=None if course is None or not course.outcome else course.outcome,
        ended=None if course is None else moment(course.ended_ms),
        clocks=[clock_document(view, forecast) for view in clock_views(saga, flow, now_ms)],
        compensation=None if undoing is None else compensation_document(undoing, undos, flow),
        history=[] if course is None else [_act(act) for act in course.history],
        events=[
            _event(link, [waiting_document(answer, now_ms) for answer in owed if answer.event == link.event])
            for link in chain(saga)
        ],
    )


def _parent(parent: ParentView) -> ParentDocument:
    return ParentDocument(parent.saga, parent.event or None, parent.type or None)


def _child(child: ChildView) -> ChildDocument:
    return ChildDocument(
        child.saga,
        child.event or None,
        timestamp(child.at_ms),
        child.begins,
        child.flow or None,
        child.status,
    )


def _act(act: Act) -> ActDocument:
    return ActDocument(
        act.command, act.action, act.by, act.reason, timestamp(act.at_ms), act.accepted, act.message
    )


def _event(link: Link, waiting_for: list[WaitingDocument]) -> EventDocument:
    seen = link.step.seen
    return EventDocument(
        id=link.event,
        type=None if seen is None else seen.type,
        version=None if seen is None else seen.version,
        source=None if seen is None else seen.source,
        time=None if seen is None else timestamp(seen.time_ms),
        key=None if seen is None else seen.key,
        cause=None if seen is None else seen.cause or None,
        topic=None if seen is None else seen.topic,
        partition=None if seen is None else seen.partition,
        offset=None if seen is None else seen.offset,
        by_tracker=seen is not None and seen.source == SOURCE,
        depth=link.depth,
        after_ms=link.after_ms,
        cause_unknown=link.cause_unknown,
        copies=[(copy.topic, copy.partition, copy.offset) for copy in link.step.copies],
        handled_by=[_handling(handling) for handling in link.step.handlings],
        waiting_for=waiting_for,
    )


def _handling(handling: Handling) -> HandlingDocument:
    return HandlingDocument(
        handling.service,
        handling.handler,
        handling.standing.outcome,
        [_attempt(attempt) for attempt in handling.attempts],
    )


def _attempt(attempt: Attempt) -> AttemptDocument:
    return AttemptDocument(
        attempt.number,
        attempt.outcome,
        timestamp(attempt.at_ms),
        attempt.duration_us / 1000,
        attempt.error,
        attempt.message,
        moment(attempt.retry_at_ms),
    )
