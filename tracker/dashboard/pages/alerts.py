"""Alerts: what the tracker has told people, the newest first."""

from collections.abc import Iterator

from tracker.access.role import Role
from tracker.core.contract.findings import Kind
from tracker.core.contract.standstill import RAISED
from tracker.core.effect import Cause
from tracker.dashboard.desk import Desk
from tracker.dashboard.moment import ago, ms_of
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.page import Page, body, empty, head
from tracker.dashboard.place import Place, href, path_to
from tracker.dashboard.table import PAGE_SIZE, chip, live_panel, pager, table
from tracker.dashboard.words import short_id, state
from tracker.view.queries.cursor import UnusableCursor
from tracker.view.queries.feeds import AlertDocument, AlertsPage, alerts_page

_CLASSES: dict[Cause, str] = {
    "warning": "soon",
    "breach": "late",
    "stuck": "stuck",
    "undeliverable": "stuck",
    "past-pivot": "stuck",
    "contradiction": "late",
    "abandoned": "late",
    "paused": "soon",
    "standstill": "stuck",
    "going-on": "ok",
    "tracker-behind": "late",
    "tracker-caught-up": "ok",
    "source-gone": "late",
    "unreadable-row": "late",
    "too-many-events": "late",
    "expression": "late",
}
"""Causes in the colours of states."""


async def alerts_list(desk: Desk, place: Place, _: Role) -> Page:
    """All of them, or those of a flow or of a saga."""
    saga, flow, after = (place.asked.get(name) for name in ("saga", "flow", "after"))
    try:
        page = await desk.ask((saga, flow, after), alerts_page, saga, flow, PAGE_SIZE, after)
    except UnusableCursor:
        return Page("Alerts", "", moved=place.but())
    return Page("Alerts", alerts_body(page, place, sorted({flow.name for flow in desk.known.flows})))


def alerts_body(page: AlertsPage, place: Place, flows: list[str]) -> Node:
    """Filters, and a page of the list."""
    return body(head("Alerts"), _filters(place, flows), live_panel(place, *_list(page, place)))


def _filters(place: Place, flows: list[str]) -> Node | None:
    flow, saga = place.asked.get("flow", ""), place.asked.get("saga", "")
    chips = [chip(place.but(flow=None), "All flows", on=not flow)]
    chips += [chip(place.but(flow=each), each, on=each == flow) for each in flows]
    if flow and flow not in flows:
        chips.append(chip(place.but(flow=None), f"flow {flow}", on=True))
    if saga:
        chips.append(link(place.but(saga=None), "chip on", f"saga {short_id(saga)}", span("", "✕")))
    return div("chips", *chips) if len(chips) > 1 else None


def _list(page: AlertsPage, place: Place) -> Iterator[Child]:
    if page.alerts:
        columns = ["When", "Cause", "Saga", "What", "Flow", "Rule"]
        yield table(columns, [_row(alert) for alert in page.alerts])
        yield pager(place, page.next)
    elif place.asked:
        yield empty("No alert is like that", link("/alerts", "", "Take the filters away"), " to see all.")
    else:
        yield empty(
            "No alerts",
            "What is late, stands still or contradicts its flow file is told here. Give a flow an ",
            h("code", {}, "sla"),
            " in its file to be warned before it is late.",
        )


def _row(alert: AlertDocument) -> Node:
    at_ms = ms_of(alert.at)
    saga: Child = ""
    if alert.saga:
        name = alert.key or short_id(alert.saga)
        saga = link(path_to("sagas", alert.saga), "cut-text", name, data_step=True, title=alert.saga)
    elif alert.cause == RAISED:
        stuck = href("/sagas", {"flow": alert.flow, "finding": Kind.STUCK.value})
        saga = link(stuck, "", "those that wait", data_step=True)
    version = f" v{alert.flow_version}" if alert.flow_version else ""
    flow = link(path_to("flows", alert.flow), "", f"{alert.flow}{version}") if alert.flow else ""
    return h(
        "tr",
        {"key": alert.id, **({"data-href": path_to("sagas", alert.saga)} if alert.saga else {})},
        h("td", {"class": "tight"}, *([ago(at_ms), " ago"] if at_ms is not None else [alert.at])),
        h("td", {"class": "tight"}, state(_class_of(alert.cause), alert.cause)),
        h("td", {"class": "tight"}, saga),
        h("td", {"class": "wide-text"}, alert.message),
        h("td", {"class": "soft tight"}, flow),
        h("td", {"class": "soft tight"}, alert.rule or ""),
    )


def _class_of(cause: str) -> str:
    return next((classes for known, classes in _CLASSES.items() if known == cause), "")
