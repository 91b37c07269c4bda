"""How far the undoing of a saga is."""

from tracker.dashboard.moment import at, ms_of, took
from tracker.dashboard.node import Child, Node, div, h, span
from tracker.dashboard.page import panel
from tracker.dashboard.pages.saga.actions import undo_actions
from tracker.dashboard.table import table
from tracker.dashboard.words import state
from tracker.view.documents.saga import SagaDocument
from tracker.view.documents.undo import UndoDocument
from tracker.view.duration import human

_SETTLED = ("confirmed", "skipped", "done")


def compensation_panel(saga: SagaDocument, *, may_act: bool) -> Node | None:
    """A line for each undo; None where nothing is undone."""
    compensation = saga.compensation
    if compensation is None:
        return None
    undos = compensation.undos
    settled = sum(undo.status in _SETTLED for undo in undos)
    share = settled / len(undos) if undos else 1.0
    by = "by an operator" if compensation.by_operator else f"because of {compensation.reason}"
    again = f", round {compensation.round}" if compensation.round > 1 else ""
    said = f"{settled} of {len(undos)} undone"
    progress: Node = h(
        "div",
        {"class": "share", "role": "img", "aria-label": said},
        h("span", {"class": "undo", "style": f"--w:{share:.1%}"}),
    )
    columns = ["Event", "Undone by", "Attempt", "Stands", *([""] if may_act else [])]
    lines = table(columns, [_row(saga, undo, may_act=may_act) for undo in undos])
    return panel(
        "Compensation", progress, lines, beside=span("soft", f"{said}, {by}{again}"), name="compensation"
    )


def _row(saga: SagaDocument, undo: UndoDocument, *, may_act: bool) -> Node:
    attempts = f"{undo.attempt} of {undo.attempts}" if undo.attempt else ""
    cells = [
        h("td", {}, undo.type or undo.event),
        h("td", {"class": "state undo"}, *([f"↩ {undo.command}"] if undo.command else [])),
        h("td", {"class": "tight soft"}, *([attempts] if attempts else [])),
        h("td", {}, *_stand(undo)),
    ]
    if may_act:
        asked = undo_actions(saga, undo)
        cells.append(h("td", {}, *([div("actions", asked)] if asked else [])))
    return h("tr", {"key": undo.event}, *cells)


def _stand(undo: UndoDocument) -> list[Child]:
    error = f" ({undo.error})" if undo.error else ""
    sent, settled = ms_of(undo.sent), ms_of(undo.settled)
    match undo.status:
        case "planned":
            return [span("soft", f"not yet{error}" if not undo.attempt else f"to be attempted again{error}")]
        case "running":
            who = (
                f"{', '.join(undo.waiting_for)}: no answer" if undo.waiting_for else f"no {undo.confirmed_by}"
            )
            return [state("undo", who), *([" for ", took(sent)] if sent is not None else []), error]
        case "undeliverable":
            return [state("undo", f"waits for a service that handles {undo.command}{error}")]
        case "stuck":
            return [state("stuck", f"stuck{error}")]
        case "confirmed":
            after = ""
            if settled is not None and sent is not None and settled >= sent:
                after = f" after {human(settled - sent)}"
            return [state("ok", f"{undo.confirmed_by or 'confirmed'}{after}")]
        case "skipped" | "done":
            how = "skipped" if undo.status == "skipped" else "done by hand"
            return [how, *([" ", at(settled)] if settled is not None else []), error]
