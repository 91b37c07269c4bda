"""What stands at the top: its status, where it is, what it waits for, when it is likely to end."""

from tracker.core.status import ENDED, Status
from tracker.core.words import plural
from tracker.dashboard.moment import ago, at, ms_of, took
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.page import panel
from tracker.dashboard.place import path_to
from tracker.dashboard.summary import flow_text, owed_text, waiting_for
from tracker.dashboard.table import facts
from tracker.dashboard.trace import trace_link
from tracker.dashboard.words import short_id, state, status_mark
from tracker.view.documents.saga import SagaDocument


def head_panel(saga: SagaDocument, actions: list[Node], trace_url: str) -> Node:
    """The header; `actions` are what may be done about the saga, if anything."""
    began, acted = ms_of(saga.began), ms_of(saga.acted)
    over = saga.status in ENDED
    end = ms_of(saga.ended) if saga.ended is not None else acted
    lasted: list[Child] = []
    if began is not None:
        lasted = ["took ", took(began, end)] if over else ["for ", took(began)]
    flow = saga.flow if saga.flow_version else saga.begins
    standing: list[tuple[str, list[Child]]] = [
        ("Where", [saga.where or "not read yet"]),
        ("Waits for", _waits(saga)),
        ("Paused", _paused(saga)),
        ("Expected end", _expected(saga)),
        ("Began", [at(began), ", ", ago(began), " ago"] if began is not None else [saga.began]),
        ("Ended", [at(end), ", ", ago(end), " ago"] if over and end is not None else []),
        ("Last moved", [ago(acted), " ago"] if not over and acted is not None else []),
    ]
    names: list[tuple[str, list[Child]]] = [
        ("Flow", [link(path_to("flows", flow), "", flow_text(saga))]),
        ("Saga id", [span("mono", saga.id), copy_button(saga.id)]),
        ("Business key", [saga.key] if saga.key else []),
        ("Begun by", _parent(saga)),
        ("Traces", trace_link(trace_url, saga=saga.id)),
    ]
    return panel(
        "",
        div(
            "title-row",
            h("h1", {}, saga.key or short_id(saga.id)),
            status_mark(saga.status),
            span("soft", *lasted),
            div("fill"),
            div("actions", actions) if actions else None,
        ),
        div("saga-head", facts(standing), facts(names)),
        name="head",
    )


def copy_button(text: str) -> Node:
    """Puts a text where it can be pasted from."""
    return h("button", {"type": "button", "class": "quiet copy", "data-copy": text, "title": "Copy"}, "copy")


def _waits(saga: SagaDocument) -> list[Child]:
    if saga.status in (Status.OPEN, Status.RETRYING) and len(saga.waiting_for) > 1:
        return [h("ul", {}, [h("li", {}, *owed_text(each), f" on {each.type}") for each in saga.waiting_for])]
    return list(waiting_for(saga))


def _paused(saga: SagaDocument) -> list[Child]:
    if saga.paused is None:
        return []
    since = ms_of(saga.paused.since)
    when = at(since) if since is not None else saga.paused.since
    return ["since ", when, f" by {saga.paused.by}: {saga.paused.reason}"]


def _expected(saga: SagaDocument) -> list[Child]:
    forecast = saga.forecast
    if forecast is None or saga.status in ENDED:
        return []
    p50, p90 = ms_of(forecast.end_p50), ms_of(forecast.end_p90)
    if p50 is not None and p90 is not None:
        alike = f" (by {forecast.alike:,} like it)"
        return [at(p50), ", 9 of 10 by ", at(p90), span("soft", alike)]
    if forecast.unusual:
        return [state("soon", f"slower than nearly all {forecast.history:,} before it")]
    return [span("soft", f"not known: {plural(forecast.history, 'saga')} before it are too few")]


def _parent(saga: SagaDocument) -> list[Child]:
    if saga.parent is None:
        return []
    what = saga.parent.type or "an event"
    return [f"{what} of ", link(path_to("sagas", saga.parent.saga), "mono", short_id(saga.parent.saga))]
