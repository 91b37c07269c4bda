"""A directed graph from left to right: a layer for each step, lines as wide as what goes along them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

from tracker.dashboard.drawing.sequence import shortened
from tracker.dashboard.node import Node, h

_GAP = 22
_ROW_HEIGHT = 58
_MARGIN = 14
_SWEEPS = 6
_WIDTHS = {"event": 118, "service": 68}
_HEIGHTS = {"event": 42, "service": 30}
_LINE_MAX = 7.0
_CHARACTER_WIDTH = 6.1
_SCALE_MIN = 0.75
"""Smaller than that it can't be read: then it is wider than what is around it, which scrolls."""


class Vertex(NamedTuple):
    """`kind` is "event" or "service"; `aside` stands below the label."""

    id: str
    kind: str
    label: str
    aside: str = ""
    classes: str = ""
    href: str = ""
    hint: str = ""


class Arc(NamedTuple):
    """A line between two; as wide as its `weight` among all, and `aside` is what is said of one without."""

    start: str
    end: str
    weight: int
    classes: str = ""
    href: str = ""
    hint: str = ""
    aside: str = ""


class _Point(NamedTuple):
    x: float
    y: float


def graph(vertices: Sequence[Vertex], arcs: Sequence[Arc], label: str) -> Node:
    """The picture; arcs whose ends are not there are left out."""
    by_id = {vertex.id: vertex for vertex in vertices}
    arcs = [arc for arc in arcs if arc.start in by_id and arc.end in by_id and arc.start != arc.end]
    layer_of = layers(list(by_id), arcs)
    places, bends, rows = _places(by_id, arcs, layer_of)
    heaviest = max((arc.weight for arc in arcs), default=0) or 1
    width = max((place.x for place in places.values()), default=0) + _WIDTHS["event"] / 2 + _MARGIN
    height = rows * _ROW_HEIGHT + 2 * _MARGIN
    return h(
        "svg",
        {
            "class": "drawing fitted",
            "viewBox": f"0 0 {width} {height}",
            "width": width,
            "height": height,
            "role": "group",  # no picture: there are links in it
            "aria-label": label,
            "style": f"--least:{width * _SCALE_MIN:.0f}px",
        },
        [_line(arc, by_id, places, bends.get((arc.start, arc.end), []), heaviest) for arc in arcs],
        [_box(vertex, places[vertex.id]) for vertex in vertices],
    )


def layers(ids: Sequence[str], arcs: Sequence[Arc]) -> dict[str, int]:
    """How many steps from a beginning each is, the longest way; what leads back does not count."""
    below: dict[str, list[str]] = {}
    into = {arc.end for arc in arcs}
    for arc in arcs:
        below.setdefault(arc.start, []).append(arc.end)
    order: list[str] = []
    state: dict[str, int] = {}
    back: set[tuple[str, str]] = set()
    for root in [*(id_ for id_ in ids if id_ not in into), *ids]:
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(below.get(root, ())))]
        while stack:
            node, rest = stack[-1]
            for child in rest:
                if state.get(child) == 1:
                    back.add((node, child))
                elif child not in state:
                    state[child] = 1
                    stack.append((child, iter(below.get(child, ()))))
                    break
            else:
                state[node] = 2
                order.append(node)
                stack.pop()
    found = dict.fromkeys(ids, 0)
    for node in reversed(order):
        for child in below.get(node, ()):
            if (node, child) not in back:
                found[child] = max(found[child], found[node] + 1)
    return found


def _places(
    by_id: Mapping[str, Vertex], arcs: Sequence[Arc], layer_of: Mapping[str, int]
) -> tuple[dict[str, _Point], dict[tuple[str, str], list[_Point]], int]:
    """The middle of each vertex; where long lines bend, to run past what is between; how many rows."""
    columns: dict[int, list[str]] = {}
    for id_ in by_id:
        columns.setdefault(layer_of[id_], []).append(id_)
    links: list[tuple[str, str]] = []
    ways: dict[tuple[str, str], list[str]] = {}
    for arc in arcs:
        first, last = layer_of[arc.start], layer_of[arc.end]
        way = [f"\0{arc.start}\0{arc.end}\0{layer}" for layer in range(first + 1, last)]
        for layer, id_ in zip(range(first + 1, last), way, strict=True):
            columns.setdefault(layer, []).append(id_)
        if last > first:
            ways[arc.start, arc.end] = way
            chain = [arc.start, *way, arc.end]
            links += pairwise(chain)
    row = {id_: float(index) for column in columns.values() for index, id_ in enumerate(column)}
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for one, other in links:
        before.setdefault(other, []).append(one)
        after.setdefault(one, []).append(other)
    for sweep in range(_SWEEPS):
        ahead = sweep % 2 == 0
        for layer in sorted(columns, reverse=not ahead):
            _arrange(columns[layer], before if ahead else after, row)
    lowest = min(row.values(), default=0.0)
    rows = round(max(row.values(), default=0.0) - lowest) + 1

    middles: list[float] = []
    end = float(_MARGIN - _GAP)
    for layer in range(max(columns, default=-1) + 1):
        wide = max((_WIDTHS[by_id[id_].kind] for id_ in columns[layer] if id_ in by_id), default=0)
        middles.append(end + _GAP + wide / 2)
        end += _GAP + wide

    def point(id_: str, layer: int) -> _Point:
        return _Point(round(middles[layer], 1), round(_MARGIN + (row[id_] - lowest + 0.5) * _ROW_HEIGHT, 1))

    places = {id_: point(id_, layer_of[id_]) for id_ in by_id}
    bends = {
        ends: [point(id_, layer_of[ends[0]] + 1 + index) for index, id_ in enumerate(way)]
        for ends, way in ways.items()
    }
    return places, bends, rows


def _arrange(column: list[str], neighbours: Mapping[str, list[str]], row: dict[str, float]) -> None:
    """Each as near as can be to the middle of its neighbours, and none on another one."""

    def wish(id_: str) -> float:
        near = neighbours.get(id_, [])
        return sum(row[other] for other in near) / len(near) if near else row[id_]

    wishes = {id_: wish(id_) for id_ in column}
    column.sort(key=lambda id_: (wishes[id_], row[id_]))
    at = [wishes[id_] for id_ in column]
    for index in range(1, len(at)):
        at[index] = max(at[index], at[index - 1] + 1)
    # What was pushed down as a whole goes half the way back.
    shift = sum(place - wishes[id_] for place, id_ in zip(at, column, strict=True)) / len(at)
    for place, id_ in zip(at, column, strict=True):
        row[id_] = place - shift


def _line(
    arc: Arc,
    by_id: Mapping[str, Vertex],
    places: Mapping[str, _Point],
    bends: Sequence[_Point],
    heaviest: int,
) -> Node:
    start, end = places[arc.start], places[arc.end]
    width = round(1.2 + (_LINE_MAX - 1.2) * sqrt(arc.weight / heaviest), 1) if arc.weight else 1.2
    from_ = _Point(start.x + _WIDTHS[by_id[arc.start].kind] / 2, start.y)
    tip = _Point(end.x - _WIDTHS[by_id[arc.end].kind] / 2 - 7, end.y)
    if tip.x > from_.x:
        path = f"M{from_.x} {from_.y}"
        at = from_
        for bend in [*bends, tip]:
            half = round((bend.x - at.x) / 2, 1)
            path += f"C{at.x + half} {at.y} {bend.x - half} {bend.y} {bend.x} {bend.y}"
            at = bend
    else:  # it leads back: around below
        low = max(start.y, end.y) + _ROW_HEIGHT * 0.6
        path = f"M{from_.x} {from_.y}C{from_.x + 50} {low} {tip.x - 50} {low} {tip.x} {tip.y}"
    drawn = h(
        "g",
        {"class": arc.classes},
        h("title", {}, arc.hint) if arc.hint else None,
        h("path", {"class": "arrow", "d": path, "stroke-width": width, "style": f"--width:{width}px"}),
        h("path", {"class": "head", "d": f"M{tip.x + 7} {tip.y}l-9 -4.5v9z"}),
        h("path", {"class": "reach", "d": path}) if arc.href else None,
    )
    return h("a", {"href": arc.href}, drawn) if arc.href else drawn


def _box(vertex: Vertex, place: _Point) -> Node:
    width, height = _WIDTHS[vertex.kind], _HEIGHTS[vertex.kind]
    lines = -3.0 if vertex.aside else 4.5
    drawn = h(
        "g",
        {"class": vertex.classes},
        h("title", {}, vertex.hint or vertex.label),
        h(
            "rect",
            {
                "class": f"node {vertex.kind}",
                "x": place.x - width / 2,
                "y": place.y - height / 2,
                "width": width,
                "height": height,
                "rx": 6 if vertex.kind == "event" else height / 2,
            },
        ),
        h(
            "text",
            {"x": place.x, "y": place.y + lines, "text-anchor": "middle"},
            shortened(vertex.label, width - 8, _CHARACTER_WIDTH),
        ),
        h("text", {"class": "small", "x": place.x, "y": place.y + 13, "text-anchor": "middle"}, vertex.aside)
        if vertex.aside
        else None,
    )
    return h("a", {"href": vertex.href}, drawn) if vertex.href else drawn
