"""A line for each saga."""

from collections.abc import Sequence
from urllib.parse import quote

from tracker.dashboard.moment import ago, ms_of
from tracker.dashboard.node import Node, div, h
from tracker.dashboard.pages.sagas.bulk import FORM
from tracker.dashboard.place import path_to
from tracker.dashboard.summary import deadline, flow_text, waiting_for
from tracker.dashboard.table import table
from tracker.dashboard.words import short_id, status_mark
from tracker.view.documents.row import SagaSummary


def sagas_table(sagas: Sequence[SagaSummary], *, may_act: bool) -> Node:
    """The whole line leads to the saga; those who may act can choose some."""
    with_sla = any(saga.clocks or saga.told for saga in sagas)
    columns = [
        *([""] if may_act else []),
        "Key",
        "Status",
        "Where",
        "Waiting for",
        *(["Deadline"] if with_sla else []),
        "Flow",
        "Age",
        "Last",
        "Id",
    ]
    rows = [_row(saga, with_sla=with_sla, may_act=may_act) for saga in sagas]
    return table(columns, rows, right=("Age", "Last"))


def _row(saga: SagaSummary, *, with_sla: bool, may_act: bool) -> Node:
    address = path_to("sagas", saga.id)
    began, acted = ms_of(saga.began), ms_of(saga.acted)
    name = saga.key or short_id(saga.id)
    cells = [
        h("td", {"class": "tight"}, h("a", {"href": address, "data-step": True, "class": "cut-text"}, name)),
        h("td", {}, status_mark(saga.status)),
        h("td", {}, div("cut-text", saga.where, title=saga.where)),
        h("td", {}, div("cut-text", *waiting_for(saga))),
        *([h("td", {"class": "tight"}, *deadline(saga))] if with_sla else []),
        h("td", {"class": "soft tight"}, flow_text(saga)),
        h("td", {"class": "right tight"}, ago(began) if began is not None else saga.began),
        h("td", {"class": "right tight soft"}, ago(acted) if acted is not None else saga.acted),
        h("td", {"class": "mono faint tight", "title": saga.id}, short_id(saga.id)),
    ]
    if may_act:
        cells.insert(0, h("td", {"class": "tight"}, _box(saga.id, name)))
    return h("tr", {"data-href": address, "key": saga.id}, *cells)


def _box(saga_id: str, name: str) -> Node:
    # Quoted: what is chosen is sent as lines, and an id may be anything.
    box = {"type": "checkbox", "name": "saga", "value": quote(saga_id, safe=""), "form": FORM}
    return h("input", {**box, "aria-label": f"Choose {name}"})
