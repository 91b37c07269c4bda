"""What an operator can do about a saga, and what would come of it."""

from tracker.core.status import Status
from tracker.dashboard.ask import ask, choice
from tracker.dashboard.node import Child, Node, div, h, span
from tracker.dashboard.words import state
from tracker.view.documents.saga import SagaDocument
from tracker.view.documents.undo import PlanDocument, PlannedUndoDocument, UndoDocument

_GOING = (Status.OPEN, Status.RETRYING)
_LEAVE = {"yes": "undo what was done", "no": "leave what was done as it is"}


def undoes(saga: SagaDocument) -> bool:
    """Whether something that can be asked for now would undo what was done."""
    return saga.status in (*_GOING, Status.PAUSED) or _can_be_undone(saga)


def _can_be_undone(saga: SagaDocument) -> bool:
    return saga.status is Status.COMPLETED and bool(saga.flow_version)


def actions(saga: SagaDocument, plan: PlanDocument | None) -> list[Node]:
    """Buttons for what can be asked for now; what undoes shows the plan first."""
    given = {"saga": saga.id}
    found: list[Node] = []
    if saga.status is Status.PAUSED:
        what = "Parked events are handled, its clocks go on."
        found += ask("saga resume", "resume", "Resume", "Let it go on", what, given)
    elif saga.status in _GOING:
        what = "Services park its events; its clocks stop."
        found += ask("saga pause", "pause", "Pause", "Have it stand still", what, given)
    if saga.status in (*_GOING, Status.PAUSED):
        undo = choice("undo", "Then", _LEAVE, "yes")
        what = "It ends now, and nothing of it goes on."
        found += ask("saga cancel", "cancel", "Cancel", "End it", what, given, _planned(plan), undo)
    if _can_be_undone(saga):
        what = "By the rules of its flow file."
        title = "Undo what was done"
        found += ask("saga compensate", "compensate", "Undo it", title, what, given, _planned(plan))
    return found + ask("saga note", "note", "Note", "Write into its history", "Nothing else happens.", given)


def _planned(plan: PlanDocument | None) -> Node:
    if plan is None:
        return h("p", {"class": "plan"}, "It follows no flow file, so nothing says how to undo it.")
    if not plan.undos and plan.then is None:
        return h("p", {"class": "plan"}, "Nothing was done so far that its flow file can undo.")
    steps = [h("li", {}, *_undo(each)) for each in plan.undos]
    if plan.then is not None:
        steps.append(h("li", {}, "in the end ", *_command(plan.then)))
    how = "all at once" if plan.order == "parallel" else "one after another"
    title = f"What would be undone, {how}" if plan.undos else "What would be published"
    return div("plan", h("h3", {}, title), h("ol", {"tabindex": 0}, *steps))


def _undo(planned: PlannedUndoDocument) -> list[Child]:
    return [f"{planned.type or planned.event} by ", *_command(planned)]


def _command(planned: PlannedUndoDocument) -> list[Child]:
    where = span("faint", f" on {planned.topic}") if planned.topic else None
    wrong = state("late", f" can't be published: {planned.error}") if planned.error else None
    return [span("state undo", f"↩ {planned.command}"), where, wrong]


def undo_actions(saga: SagaDocument, undo: UndoDocument) -> list[Node]:
    """Buttons for one undo that has failed for good."""
    if undo.status != "stuck":
        return []
    of = undo.type or undo.event
    given = {"saga": saga.id, "event": undo.event}

    def asked(action: str, button: str, title: str, what: str) -> list[Node]:
        return ask(f"saga {action}", f"{action}-{undo.event}", button, title, what, given)

    return [
        *asked("retry", "Retry", f"Attempt to undo {of} again", "Its command is published once more."),
        *asked("skip", "Skip", f"Leave {of} as it is", "It stays done; the others are undone."),
        *asked("done", "Done by hand", f"Take {of} for undone", "Somebody has undone it by hand."),
    ]
