"""The page of one flow."""

import asyncio
from urllib.parse import unquote

from tracker.access.role import Role
from tracker.core.flow import Flow
from tracker.dashboard.desk import Desk
from tracker.dashboard.node import Node, div, h, link, span
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.pages.flow.map import map_panel
from tracker.dashboard.pages.flow.past import deadlines_panel, durations_panel, variants_panel
from tracker.dashboard.pages.overview import HOUR_MS, flow_card, hours_until
from tracker.dashboard.place import Place
from tracker.dashboard.table import chip
from tracker.view.contract import UnknownFlow
from tracker.view.queries.flows import flow_history, flow_map, flow_standings, flow_variants

VARIANTS_SHOWN = 12
SPANS = {"day": 24, "week": 7 * 24, "month": 30 * 24}
"""Hours that everything but the card tells of."""


async def flow_page(desk: Desk, place: Place, _: Role) -> Page:
    """The page of one flow."""
    name = unquote(place.path.removeprefix("/flows/"))
    known, now_ms = desk.known, desk.now_ms
    span_name = place.asked.get("over", "day")
    until_ms = hours_until(now_ms)[1]
    from_ms = until_ms - SPANS.get(span_name, 24) * HOUR_MS
    day_ms = hours_until(now_ms)[0]
    key = name, from_ms
    try:
        standings, drawn, variants, day, history = await asyncio.gather(
            desk.ask("flows", flow_standings, known, now_ms),
            desk.ask(key, flow_map, known, name, None, from_ms, until_ms),
            desk.ask(key, flow_variants, known, name, None, from_ms, until_ms, VARIANTS_SHOWN),
            desk.ask((name, day_ms), flow_history, known, name, None, day_ms, until_ms),
            desk.ask(key, flow_history, known, name, None, from_ms, until_ms),
        )
    except UnknownFlow as error:
        nothing = empty("There is no such flow", str(error), " ", link("/flows", "", "All flows"), ".")
        return Page("No such flow", body(head("No such flow"), panel("", nothing)))
    standing = next((flow for flow in standings.flows if flow.flow == name), None)
    declared = known.flows.newest(name)
    shown = body(
        flow_card(standing, day, declared, now_ms) if standing is not None else head(name),
        map_panel(name, drawn, standing, _spans(place, span_name)),
        div("two", durations_panel(history, from_ms, until_ms), deadlines_panel(history, from_ms, until_ms)),
        variants_panel(variants),
        _file(declared),
    )
    return Page(name, shown)


def _spans(place: Place, chosen: str) -> list[Node]:
    return [
        chip(place.but(over=None if each == "day" else each), f"Last {each}", on=each == chosen)
        for each in SPANS
    ]


def _file(declared: Flow | None) -> Node:
    if declared is None or not declared.source:
        return panel(
            "Flow file",
            h(
                "p",
                {"class": "quiet-text"},
                "It follows no flow file: write one to have deadlines and undos.",
            ),
            name="file",
        )
    return panel(
        "Flow file",
        h("pre", {"class": "mono scroll", "tabindex": 0}, declared.source),
        beside=span("soft", f"version {declared.version}, as it runs"),
        name="file",
    )
