"""The undoing of a saga, step by step, with who is waited for."""

from msgspec import Struct

from tracker.core.compensation import command_id
from tracker.core.course import UndoState, UndoStatus
from tracker.core.flow import Flow
from tracker.core.saga import Saga, marked
from tracker.core.status import UNANSWERED, standings
from tracker.core.subscriptions import Subscriptions


class UndoView(Struct, frozen=True, gc=False):
    """How far the undoing of one event is.

    Attributes
    ----------
    event, type : of what is undone.
    command, confirmed : types of the undo command and of the event that confirms it; "" if the flow is
        not known.
    services : who handles the command and has not done with it yet.
    attempt, attempts : the last one, counted from 1, and how many there are in all; 0 before the first.
    command_id : of the command, the same in all attempts; "" if none was sent.
    sent_ms : when it was sent last, or first once it is settled; -1 if it was not.
    """

    event: str
    type: str
    command: str
    confirmed: str
    status: UndoStatus
    services: tuple[str, ...]
    attempt: int
    attempts: int
    command_id: str
    sent_ms: int
    settled_ms: int
    error: str


def undo_views(saga: Saga, flow: Flow | None, subscriptions: Subscriptions) -> list[UndoView]:
    """The undos of a saga in the order in which they are made; none if it is not being undone."""
    if saga.course is None or saga.course.compensation is None:
        return []
    return [_view(undo, saga, flow, subscriptions) for undo in saga.course.compensation.undos]


def _view(undo: UndoState, saga: Saga, flow: Flow | None, subscriptions: Subscriptions) -> UndoView:
    step = saga.steps.get(undo.event) or marked(saga).get(undo.event)
    event_type = step.seen.type if step is not None and step.seen is not None else ""
    milestone = None if flow is None else flow.events.get(event_type)
    rule = None if milestone is None else milestone.undo
    command = "" if rule is None else rule.command.type
    sent_id = command_id(undo.event, command) if command and undo.attempt else ""
    sent = saga.steps.get(sent_id) or marked(saga).get(sent_id)
    answers = {} if sent is None else standings(sent)
    done = {service for service, answer in answers.items() if answer.standing.outcome not in UNANSWERED}
    sent_ms = -1
    if rule is not None and undo.due_ms >= 0 and (undo.attempt > 1 or sent is None or sent.seen is None):
        sent_ms = undo.due_ms - rule.within_ms
    elif sent is not None and sent.seen is not None:
        sent_ms = sent.seen.time_ms
    planned = 0 if rule is None else rule.attempts
    return UndoView(
        undo.event,
        event_type,
        command,
        "" if rule is None else rule.confirmed,
        undo.status,
        tuple(
            subscriber.service for subscriber in subscriptions.of(command) if subscriber.service not in done
        ),
        undo.attempt,
        undo.attempt + undo.left if undo.attempt else planned,
        sent_id,
        sent_ms,
        undo.settled_ms,
        undo.error,
    )
