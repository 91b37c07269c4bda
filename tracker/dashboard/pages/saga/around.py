"""What belongs to a saga beside its events: what is wrong, what is to come, its children, its history."""

from tracker.core.status import ENDED
from tracker.core.words import plural
from tracker.dashboard.moment import at, ms_of
from tracker.dashboard.node import Node, div, h, link, span
from tracker.dashboard.page import panel
from tracker.dashboard.place import path_to
from tracker.dashboard.words import short_id, state, status_mark
from tracker.view.documents.saga import ActDocument, ChildDocument, SagaDocument
from tracker.view.percent import percent


def findings_panel(saga: SagaDocument) -> Node | None:
    """What should not be; None where nothing is wrong."""
    if not saga.findings:
        return None
    rows = [
        h(
            "tr",
            {},
            h("td", {}, state("stuck" if each.kind == "stuck" else "soon", each.kind.value)),
            h("td", {"class": "tight soft"}, _moment(each.since)),
            h("td", {}, each.text),
        )
        for each in saga.findings
    ]
    beside = span("soft", "what should not be")
    return panel("Findings", h("table", {}, h("tbody", {}, rows)), beside=beside, name="findings")


def ahead_panel(saga: SagaDocument) -> Node | None:
    """The steps that those took that went the same way; None where there are no more."""
    if saga.status in ENDED:
        return None
    if not saga.still_to_come:
        why = "Not known: neither a flow file nor a saga that went the same way says so."
        return panel("Still to come", h("p", {"class": "quiet-text"}, why), name="ahead")
    steps: list[Node] = []
    for each in saga.still_to_come:
        if steps:
            steps.append(span("faint", "→"))
        share = "" if each.share is None or each.share >= 1 else f" {percent(each.share)}"
        who = ", ".join(each.services)
        steps.append(span("step", each.type, span("faint", share), title=f"from {who}" if who else ""))
    beside = span("soft", "by those that went the same way")
    return panel("Still to come", div("steps", steps), beside=beside, name="ahead")


def children_panel(saga: SagaDocument) -> Node | None:
    """The sagas that its events began."""
    if not saga.children:
        return None
    rows = [_child(child) for child in saga.children]
    beside = span("soft", plural(len(rows), "saga"))
    return panel("Sagas that it began", h("table", {}, h("tbody", {}, rows)), beside=beside, name="children")


def _child(child: ChildDocument) -> Node:
    address = path_to("sagas", child.saga)
    standing = status_mark(child.status) if child.status is not None else span("soft", "not read yet")
    return h(
        "tr",
        {"data-href": address, "key": child.saga},
        h("td", {}, link(address, "mono", short_id(child.saga), data_step=True)),
        h("td", {}, child.flow or child.begins),
        h("td", {}, standing),
        h("td", {"class": "tight soft"}, _moment(child.began)),
    )


def history_panel(saga: SagaDocument) -> Node | None:
    """What operators asked for, and why."""
    if not saga.history:
        return None
    rows = [_act(act) for act in saga.history]
    return panel("What operators did", h("table", {}, h("tbody", {}, rows)), name="history")


def _act(act: ActDocument) -> Node:
    return h(
        "tr",
        {"key": act.command},
        h("td", {"class": "tight soft"}, _moment(act.at)),
        h("td", {"class": "tight"}, act.by),
        h("td", {"class": "tight"}, act.action),
        h("td", {}, act.reason, "" if act.accepted else state("late", f" refused: {act.message}")),
    )


def _moment(timestamp: str) -> Node:
    when = ms_of(timestamp)
    return timestamp if when is None else at(when)
