"""The live map: who publishes what after what, how often, and where it goes wrong."""

from collections.abc import Sequence

from tracker.core.cloudevent import SOURCE
from tracker.core.words import plural
from tracker.dashboard.drawing.graph import Arc, Vertex, graph
from tracker.dashboard.drawing.outline import outline
from tracker.dashboard.node import Node, div, span
from tracker.dashboard.page import empty, panel
from tracker.dashboard.place import href
from tracker.dashboard.words import state
from tracker.view.documents.flow import MapDocument, MapEvent, MapHandler
from tracker.view.duration import human
from tracker.view.queries.flows import FlowStanding, StageStanding


def map_panel(name: str, drawn: MapDocument, standing: FlowStanding | None, spans: list[Node]) -> Node:
    """The picture; `spans` are links to those of other times."""
    if not drawn.events:
        return panel(
            "Map", empty("Nothing declared and nothing seen", "Start a service that handles its first event.")
        )
    stages = () if standing is None else standing.stages
    vertices, arcs = map_graph(drawn, stages)
    legend = div(
        "figures",
        span("soft", "width: how often, in those that ended"),
        span("soft", "dashed: declared, not seen"),
        state("late", "red: overdue, given up, or seen and not declared"),
        state("soon", "amber: attempts fail"),
        state("undo", "violet: undoing"),
    )
    label = f"the map of {name}: {plural(len(drawn.events), 'event type')}"
    return panel(
        "Map",
        div("chips", *spans),
        legend,
        div("scroll drawn", graph(vertices, arcs, label)),
        div("in-words", outline(vertices, arcs, label)),
        beside=span("soft", f"{plural(drawn.sagas, 'saga')}; each line leads to those that took it"),
        name="map",
    )


def map_graph(drawn: MapDocument, stages: Sequence[StageStanding] = ()) -> tuple[list[Vertex], list[Arc]]:
    """Events, and between them the services that handle one and publish the next.

    `stages` are where sagas stand now: those that are overdue are told at the event that they are at.
    """
    flow = drawn.flow
    overdue = {stage.type: stage.overdue for stage in stages}
    vertices = [_event(event, overdue.get(event.type, 0), flow) for event in drawn.events]
    handlers = {(each.type, each.service): each for each in drawn.handlers}
    pairs = dict.fromkeys([*handlers, *((edge.from_, edge.service) for edge in drawn.edges)])
    counts: dict[tuple[str, str], int] = {}
    underway: set[tuple[str, str]] = set()
    for edge in drawn.edges:
        at = edge.from_, edge.service
        counts[at] = max(counts.get(at, 0), edge.count)
        if edge.in_flight:
            underway.add(at)
    arcs: list[Arc] = []
    for at in pairs:
        handler = handlers.get(at)
        count = handler.handled if handler is not None and handler.handled else counts.get(at, 0)
        classes = _handler_classes(handler, seen=count > 0 or at in underway, by_tracker=at[1] == SOURCE)
        vertices.append(
            Vertex(
                _handler_id(at),
                "service",
                at[1],
                "",
                classes,
                href("/sagas", {"flow": flow, "service": at[1]}) if at[1] != SOURCE else "",
                _handler_hint(at, handler),
            )
        )
        arcs.append(Arc(f"event {at[0]}", _handler_id(at), count, classes, hint=_handler_hint(at, handler)))
    for edge in drawn.edges:
        took = f", half of them within {human(edge.p50_ms)}" if edge.p50_ms is not None else ""
        going = f"; {plural(edge.in_flight, 'saga')} in flight took it" if edge.in_flight else ""
        states = ["undo"] if edge.by_tracker else []
        if not edge.declared and drawn.declared and not edge.by_tracker:
            states = ["late"]
        if not edge.count and not edge.in_flight:
            states.append("unseen")
        arcs.append(
            Arc(
                _handler_id((edge.from_, edge.service)),
                f"event {edge.to}",
                edge.count,
                " ".join(states),
                href("/sagas", {"flow": flow, "edge": edge.id}),
                f"{edge.from_} → {edge.service} → {edge.to}: "
                f"{plural(edge.count, 'time')} in those that ended{took}{going}",
                f"{edge.in_flight:,} in flight" if edge.in_flight else "",
            )
        )
    return vertices, arcs


def _handler_id(at: tuple[str, str]) -> str:
    return f"handler {at[0]} {at[1]}"


def _event(event: MapEvent, overdue: int, flow: str) -> Vertex:
    classes = []
    if event.back:
        classes.append("undo state")
    elif overdue or not event.declared:
        classes.append("late state")
    if not event.sagas:
        classes.append("unseen")
    # Those in flight count, too, as in the funnel: an event where sagas stand was seen.
    aside = f"{event.sagas:,}" if event.sagas else "not seen"
    late = f", {overdue:,} overdue" if overdue else ""
    return Vertex(
        f"event {event.type}",
        "event",
        event.type,
        f"{aside}{late}",
        " ".join(classes),
        href("/sagas", {"flow": flow, "event": event.type}),
        f"{event.type}: in {plural(event.sagas, 'saga')}, "
        f"{plural(event.count, 'time')} in those that ended{late}",
    )


def _handler_classes(handler: MapHandler | None, *, seen: bool, by_tracker: bool) -> str:
    if by_tracker:
        return "undo" if seen else "undo unseen"
    if handler is None:
        return ""
    if handler.dead_lettered or not handler.declared:
        return "late state"
    if handler.failed_attempts:
        return "soon state"
    return "" if seen else "unseen"


def _handler_hint(at: tuple[str, str], handler: MapHandler | None) -> str:
    if handler is None:
        return f"{at[1]} after {at[0]}"
    told = [f"{handler.service} handled {handler.type} {plural(handler.handled, 'time')}"]
    if handler.p50_ms is not None and handler.p95_ms is not None:
        told.append(f"half of them within {human(handler.p50_ms)}, 95 % within {human(handler.p95_ms)}")
    if handler.failed_attempts:
        told.append(f"{plural(handler.failed_attempts, 'attempt')} failed")
    if handler.dead_lettered:
        told.append(f"{handler.dead_lettered:,} dead-lettered")
    if not handler.declared:
        told.append("not declared")
    return ", ".join(told)
