"""The graph in words, for where it has no room: below each event who takes it, and what comes of that."""

from collections.abc import Sequence

from tracker.dashboard.drawing.graph import Arc, Vertex, layers
from tracker.dashboard.node import Child, Node, div, h, link, span


def outline(vertices: Sequence[Vertex], arcs: Sequence[Arc], label: str) -> Node:
    """A list from the beginnings on, with a bar for how much goes along each line."""
    by_id = {vertex.id: vertex for vertex in vertices}
    below: dict[str, list[Arc]] = {}
    for arc in arcs:
        if arc.start in by_id and arc.end in by_id:
            below.setdefault(arc.start, []).append(arc)
    at = layers(list(by_id), arcs)
    heaviest = max((arc.weight for arc in arcs), default=0) or 1
    events = sorted((each for each in vertices if each.kind == "event"), key=lambda each: at[each.id])
    items = [_event(event, below, by_id, heaviest) for event in events]
    return h("ul", {"class": "outline", "aria-label": label}, items)


def _event(event: Vertex, below: dict[str, list[Arc]], by_id: dict[str, Vertex], heaviest: int) -> Node:
    head = div(
        f"outline-event {event.classes}", _name(event), span("soft number", event.aside), title=event.hint
    )
    lines = [
        line
        for taken in below.get(event.id, [])
        for line in _lines(by_id[taken.end], taken, below.get(taken.end, []), by_id, heaviest)
    ]
    return h("li", {"key": event.id}, head, h("ul", {}, lines) if lines else None)


def _lines(
    service: Vertex, taken: Arc, published: Sequence[Arc], by_id: dict[str, Vertex], heaviest: int
) -> list[Node]:
    """One for each event that the service publishes then; one for those that it only takes."""
    if not published:
        return [_line(taken, heaviest, [_name(service)])]
    return [_line(arc, heaviest, [_name(service), " → ", _name(by_id[arc.end])]) for arc in published]


def _line(arc: Arc, heaviest: int, told: list[Child]) -> Node:
    count = f"{arc.weight:,}" if arc.weight else arc.aside or "not seen"
    classes = f"state number {arc.classes or 'plain'}"
    number = link(arc.href, classes, count, title=arc.hint) if arc.href else span(classes, count)
    bar = h("span", {"class": arc.classes or "plain", "style": f"--w:{arc.weight / heaviest:.1%}"})
    return h(
        "li",
        {"title": arc.hint},
        div("outline-line", span("", *told), number),
        div("share", bar) if arc.weight else None,
    )


def _name(vertex: Vertex) -> Node:
    return link(vertex.href, "", vertex.label) if vertex.href else span("", vertex.label)
