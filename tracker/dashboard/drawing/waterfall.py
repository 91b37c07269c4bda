"""The events of a saga below their causes, and beside each when it came and who was busy with it.

Its clocks may stand below: when they began to run, and for how long.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tracker.dashboard.node import Attributes, Node, div, h, span, text_of
from tracker.view.duration import human

INDENT_MAX = 8
_TICKS = 5
_BEFORE_FROM = 0.62
"""From there on what is said of a bar stands before it: behind it there is no room."""


class Bar(NamedTuple):
    """Somebody is busy, from then till then; `open`: still so, or nobody has begun."""

    text: tuple[Node, ...]
    from_ms: int
    until_ms: int
    classes: str
    open: bool = False
    hint: str = ""


class Line(NamedTuple):
    """An event or a clock, and its bars.

    Attributes
    ----------
    name, meta : what is said of it, in large and in small.
    rails : for each level above it whether more follow there.
    at_ms : when it came; None for what did not come at one time.
    due_ms : until when it is to be over; None where nothing says so.
    href : where the whole line leads, "" for nowhere; the page stays where it is scrolled to.
    """

    name: tuple[Node, ...]
    meta: tuple[Node, ...]
    rails: tuple[bool, ...]
    at_ms: int | None
    classes: str
    bars: tuple[Bar, ...]
    due_ms: int | None = None
    href: str = ""


def waterfall(lines: Sequence[Line], clocks: Sequence[Line], from_ms: int, until_ms: int) -> Node:
    """All of them against one axis of time."""
    span_ms = max(1, until_ms - from_ms)
    ticks = [_tick(index, span_ms) for index in range(_TICKS)]
    told: list[Node] = [_heading("axis", "Event, below its cause", div("axis wide-only", ticks))]
    told += [_line(line, f"event {index}", from_ms, span_ms) for index, line in enumerate(lines)]
    if clocks:
        told.append(_heading("deadlines", "Deadline", div("axis wide-only")))
        told += [_line(line, f"clock {index}", from_ms, span_ms) for index, line in enumerate(clocks)]
    return h("div", {"class": "waterfall"}, told)


def _heading(key: str, text: str, beside: Node) -> Node:
    return h("div", {"class": "line", "key": key}, div("event faint", text), beside)


def _tick(index: int, span_ms: int) -> Node:
    share = index / (_TICKS - 1)
    text = "0" if index == 0 else f"+ {human(span_ms * share)}"
    return h("span", {"style": f"--x:{share:.2%}"}, text)


def _line(line: Line, key: str, from_ms: int, span_ms: int) -> Node:
    rows = max(1, len(line.bars))
    marks: list[Node] = []
    if line.at_ms is not None:
        marks.append(_mark("dot undo" if "back" in line.classes else "dot", line.at_ms, from_ms, span_ms))
    if line.due_ms is not None and line.due_ms <= from_ms + span_ms:
        marks.append(_mark("due", line.due_ms, from_ms, span_ms))
    return h(
        "div",
        {"class": "line", "key": key, "data-href": line.href, "data-stay": bool(line.href)},
        div(
            f"event {line.classes}",
            span("rails", _rails(line.rails)) if line.rails else None,
            div("body", div("type", *line.name), div("meta", *line.meta)),
        ),
        h(
            "div",
            {"class": f"lane {line.classes}", "style": f"--rows:{rows}"},
            marks,
            div("need"),
            [part for row, bar in enumerate(line.bars) for part in _bar(bar, row, from_ms, span_ms)],
        ),
    )


def _mark(classes: str, at_ms: int, from_ms: int, span_ms: int) -> Node:
    return h("span", {"class": classes, "style": f"--x:{_share(at_ms, from_ms, span_ms):.3%}"})


def _bar(bar: Bar, row: int, from_ms: int, span_ms: int) -> list[Node]:
    start = _share(bar.from_ms, from_ms, span_ms)
    width = max(0.0, _share(bar.until_ms, from_ms, span_ms) - start)
    style = f"--x:{start:.3%};--w:{width:.3%};--row:{row}"
    before = " before" if start + width > _BEFORE_FROM and start > 1 - _BEFORE_FROM else ""
    inside = " inside" if not before and start + width > _BEFORE_FROM else ""
    # Where there is too little room for what is said, it can be pointed at.
    same: Attributes = {"style": style, "title": bar.hint or " ".join(map(text_of, bar.text))}
    return [
        h("span", {"class": f"bar {bar.classes}{' open' if bar.open else ''}", **same}),
        h("span", {"class": f"tag {bar.classes}{before}{inside}", **same}, *bar.text),
    ]


def _share(at_ms: int, from_ms: int, span_ms: int) -> float:
    return min(1.0, max(0.0, (at_ms - from_ms) / span_ms))


def _rails(rails: Sequence[bool]) -> str:
    corner = "├─" if rails[-1] else "└─"
    if len(rails) > INDENT_MAX:
        return f"({len(rails)}) {corner}"
    return "".join("│ " if more else "  " for more in rails[:-1]) + corner
