"""What can be asked for, and what is."""

from collections.abc import Iterable, Sequence

from tracker.core.contract.expected import edge_of
from tracker.core.contract.findings import Kind
from tracker.core.status import Status
from tracker.dashboard.moment import at, ms_of
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.pages.sagas.search import STANDS
from tracker.dashboard.place import Place
from tracker.dashboard.table import chip
from tracker.view.known import Known
from tracker.view.queries.sagas import Order

_NAMES = {
    "q": "key",
    "flow": "flow",
    "version": "version",
    "where": "at",
    "event": "event",
    "edge": "edge",
    "variant": "variant",
    "ended-from": "ended from",
    "service": "handled by",
    "waiting-for": "waiting for",
    "finding": "finding",
    "error": "error",
}
_KEPT = ("q", "status", "sla", "order", "version", "edge", "variant", "ended-from")
"""What the address goes on to ask for, whatever is chosen below."""


def filters(place: Place, known: Known, variant: Sequence[str] = ()) -> Node:
    """Chips for what is often asked for, fields for the rest; `variant`: the types of the one asked for."""
    status, stand = place.asked.get("status", ""), place.asked.get("sla", "")
    order = place.asked.get("order") or Order.NEWEST.value
    named = [
        _named(place, name, said, _value(place, name, variant))
        for name, said in _NAMES.items()
        if place.asked.get(name)
    ]
    return div(
        "filters",
        div(
            "chips",
            chip(place.but(status=None), "All", on=not status),
            chip(place.but(status="in-flight"), "In flight", on=status == "in-flight"),
            *(chip(place.but(status=each), each.capitalize(), on=status == each) for each in Status),
        ),
        div(
            "chips",
            *(
                chip(place.but(sla=None if stand == each else each), each.capitalize(), on=stand == each)
                for each in STANDS
            ),
            *named,
            div("fill"),
            *(
                chip(
                    place.but(order=None if each is Order.NEWEST else each),
                    f"{each.capitalize()} first",
                    on=order == each,
                )
                for each in Order
            ),
        ),
        _more(place, known),
    )


def _named(place: Place, name: str, said: str, value: Child) -> Node:
    address = place.but(**{name: None})
    return link(address, "chip on", span("cut-text", f"{said} ", value), span("", "✕"), title="Take it away")


def _value(place: Place, name: str, variant: Sequence[str]) -> Child:
    """As people read it."""
    asked = place.asked[name]
    match name:
        case "edge":
            edge = edge_of(asked)
            return f"{edge.cause} → {edge.service} → {edge.effect}"
        case "variant" if variant:
            return " → ".join(variant)
        case "ended-from":
            at_ms = ms_of(asked)
            return asked if at_ms is None else at(at_ms)
        case _:
            return asked


def _more(place: Place, known: Known) -> Node:
    services = known.subscriptions.services
    events = known.subscriptions.published
    kept = [
        h("input", {"type": "hidden", "name": name, "value": place.asked[name]})
        for name in _KEPT
        if place.asked.get(name)
    ]
    error = {"name": "error", "value": place.asked.get("error", ""), "autocomplete": "off"}
    return h(
        "details",
        {"class": "more"},
        h("summary", {}, "More filters"),
        h(
            "form",
            {"method": "get", "action": "/sagas"},
            *kept,
            _choice(place, "flow", "Flow", {flow.name for flow in known.flows}),
            _choice(place, "where", "At", events),
            _choice(place, "waiting-for", "Waiting for", services),
            _choice(place, "service", "Handled by", services),
            _choice(place, "event", "Has event", events),
            _choice(place, "finding", "Finding", [kind.value for kind in Kind]),
            h("label", {}, "Error has", h("input", {"class": "field", **error})),
            h("button", {"type": "submit"}, "Search"),
        ),
    )


def _choice(place: Place, name: str, label: str, options: Iterable[str]) -> Node:
    chosen = place.asked.get(name, "")
    offered = ["", *sorted({*options, chosen} - {""})]
    found = [h("option", {"value": each, "selected": each == chosen}, each or "any") for each in offered]
    return h("label", {}, label, h("select", {"name": name, "data-at-once": True}, *found))
