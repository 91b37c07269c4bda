"""The undoing of a saga, and what it would be."""

from collections.abc import Iterable

from msgspec import UNSET, Struct, UnsetType

from tracker.core.compensation import PlannedUndo
from tracker.core.course import CompensationState, UndoStatus
from tracker.core.flow import Flow
from tracker.view.documents.moment import moment, timestamp
from tracker.view.plan import Plan
from tracker.view.undo import UndoView


class UndoDocument(Struct, frozen=True, gc=False):
    """How far the undoing of one event is; `command_id` and `sent` are null before the first attempt."""

    event: str
    type: str
    command: str
    command_id: str | None
    confirmed_by: str
    status: UndoStatus
    attempt: int
    attempts: int
    waiting_for: tuple[str, ...]
    sent: str | None
    settled: str | None
    error: str


class CompensationDocument(Struct, frozen=True, gc=False):
    """Why a saga is undone, and how far that is.

    `then_type` is the type of the event behind it, null if its flow has none or is not known; `then` is the
    id of that event, once it is published.
    """

    reason: str
    trigger: str | None
    began: str
    by_operator: bool
    round: int
    done: str | None
    then_type: str | None
    then: str | None
    undos: list[UndoDocument]


class PlannedUndoDocument(Struct, frozen=True, omit_defaults=True, gc=False):
    """A command that would be published: what it undoes, and where it goes.

    `error` says why it can't be published now, "" if it can; `payload` only comes when asked for.
    """

    event: str
    type: str
    command: str
    topic: str | None
    error: str
    payload: str | UnsetType = UNSET


class PlanDocument(Struct, frozen=True, gc=False):
    """What a compensation would do; `begun`: it is under way already, and this is what is left of it."""

    saga: str
    flow: str
    flow_version: int
    order: str
    begun: bool
    undos: list[PlannedUndoDocument]
    then: PlannedUndoDocument | None


def undo_document(undo: UndoView) -> UndoDocument:
    """An undo for programs."""
    return UndoDocument(
        event=undo.event,
        type=undo.type,
        command=undo.command,
        command_id=undo.command_id or None,
        confirmed_by=undo.confirmed,
        status=undo.status,
        attempt=undo.attempt,
        attempts=undo.attempts,
        waiting_for=undo.services,
        sent=moment(undo.sent_ms),
        settled=moment(undo.settled_ms),
        error=undo.error,
    )


def compensation_document(
    state: CompensationState, undos: Iterable[UndoView], flow: Flow | None
) -> CompensationDocument:
    """A compensation for programs; the flow is that of the saga, if it is known."""
    then = None if flow is None else flow.compensation.then
    return CompensationDocument(
        reason=state.reason,
        trigger=state.trigger or None,
        began=timestamp(state.at_ms),
        by_operator=state.by_operator,
        round=state.round,
        done=moment(state.done_ms),
        then_type=None if then is None else then.type,
        then=state.then or None,
        undos=[undo_document(undo) for undo in undos],
    )


def plan_document(saga_id: str, plan: Plan, payloads: bool) -> PlanDocument:
    """The plan for programs."""
    return PlanDocument(
        saga_id,
        plan.flow.name,
        plan.flow.version,
        plan.flow.compensation.order,
        plan.begun,
        [_planned(undo, payloads) for undo in plan.undos],
        None if plan.then is None else _planned(plan.then, payloads),
    )


def _planned(planned: PlannedUndo, payloads: bool) -> PlannedUndoDocument:
    payload = planned.data.decode(errors="replace") if payloads else UNSET
    return PlannedUndoDocument(
        planned.event, planned.type, planned.command, planned.topic or None, planned.error, payload
    )
