"""A sequence diagram: who published what, and who took it; of as many events as there are."""

from collections.abc import Sequence
from typing import NamedTuple

from tracker.dashboard.node import Node, div, h, span

LANE_WIDTH = 190
ROW_HEIGHT = 34
_TOP = 44
_BESIDE = 80
"""The last lane has room for what is written at its right."""
_CHARACTER_WIDTH = 6.6
_HEAD = 8
"""Length of the head of an arrow; what is written begins beside it."""


class Message(NamedTuple):
    """An event on its way.

    Attributes
    ----------
    takers : services that handled it, or have to; none if nobody is subscribed.
    classes : the state it is in, as `style.css` has it.
    aside : a few words on it, such as how long it took.
    """

    text: str
    sender: str
    takers: tuple[str, ...]
    classes: str
    aside: str = ""


def sequence(messages: Sequence[Message]) -> Node:
    """Lanes in the order in which services come up, a line down for each message."""
    lanes = list(dict.fromkeys(name for each in messages for name in (each.sender, *each.takers)))
    place = {name: LANE_WIDTH // 2 + index * LANE_WIDTH for index, name in enumerate(lanes)}
    lines = sum(max(1, len(each.takers)) for each in messages)
    width, height = max(1, len(lanes)) * LANE_WIDTH + _BESIDE, _TOP + lines * ROW_HEIGHT + 10
    drawn: list[Node] = []
    y = _TOP
    for message in messages:
        for index, taker in enumerate(message.takers or ("",)):
            y += ROW_HEIGHT
            drawn.append(_arrow(message, taker, place, y - 8, first=index == 0))
    return h(
        "svg",
        {
            "class": "drawing",
            "viewBox": f"0 0 {width} {height}",
            "width": width,
            "height": height,
            "role": "img",
            "aria-label": f"{len(messages)} events between {len(lanes)} services",
        },
        [_lane(name, place[name], height) for name in lanes],
        drawn,
    )


def in_words(messages: Sequence[Message]) -> Node:
    """The same as a list, for where lanes have no room beside each other."""
    return h("ol", {"class": "messages"}, [_in_words(message) for message in messages])


def _in_words(message: Message) -> Node:
    takers = ", ".join(message.takers) or "nobody"
    return h(
        "li",
        {},
        div(
            "outline-line", span(f"state {message.classes}", message.text), span("soft number", message.aside)
        ),
        div("soft", f"{message.sender} → {takers}"),
    )


def _lane(name: str, x: int, height: int) -> Node:
    return h(
        "g",
        {},
        h("line", {"class": "lifeline", "x1": x, "y1": 32, "x2": x, "y2": height}),
        h("rect", {"class": "service", "x": x - 84, "y": 6, "width": 168, "height": 26, "rx": 5}),
        h("text", {"x": x, "y": 23, "text-anchor": "middle"}, h("title", {}, name), shortened(name, 156)),
    )


def _arrow(message: Message, taker: str, place: dict[str, int], y: int, *, first: bool) -> Node:
    start = place[message.sender]
    end = place[taker] if taker else start + LANE_WIDTH // 2 - 12
    if end == start:
        return _loop(message, start, y)
    right = end > start
    tip = end - 7 if right else end + 7
    return h(
        "g",
        {"class": message.classes},
        _label(message, min(start, end) + (8 if right else _HEAD + 4), abs(end - start) - 16, y, first=first),
        h("line", {"class": "arrow", "x1": start, "y1": y, "x2": tip, "y2": y}),
        _head(end, y, right=right) if taker else h("circle", {"class": "head", "cx": end, "cy": y, "r": 3}),
    )


def _loop(message: Message, x: int, y: int) -> Node:
    return h(
        "g",
        {"class": message.classes},
        _label(message, x + 8, LANE_WIDTH - 24, y, first=True),
        h("path", {"class": "arrow", "d": f"M{x} {y - 4}h22v9h-15"}),
        _head(x, y + 5, right=False),
    )


def _label(message: Message, x: int, room: int, y: int, *, first: bool) -> Node:
    said = f"{message.text}  {message.aside}".rstrip() if first else message.text
    room = max(room, LANE_WIDTH - 24)
    return h(
        "text",
        {"x": x, "y": y - 5, "class": "" if first else "small"},
        h("title", {}, said),
        shortened(said, room),
    )


def _head(x: int, y: int, *, right: bool) -> Node:
    back = -_HEAD if right else _HEAD
    return h("path", {"class": "head", "d": f"M{x} {y}l{back} -4v8z"})


def shortened(text: str, room: float, character_width: float = _CHARACTER_WIDTH) -> str:
    """The text as far as there is room, in pixels."""
    most = max(1, int(room / character_width))
    return text if len(text) <= most else f"{text[: most - 1]}…"
