"""Tables, filters and pages of lists, the same on every page."""

from collections.abc import Iterable, Sequence

from tracker.dashboard.node import Child, Node, div, h, link
from tracker.dashboard.place import Place

PAGE_SIZE = 50


def live_panel(place: Place, *children: Child, name: str = "") -> Node:
    """A part of a page with a list whose rows come and go; each row needs a key.

    As long as somebody points at it, has the focus in it or has chosen some, its rows stay where they are,
    and the browser says how many others wait. What another address asks for is another list.
    """
    return h(
        "section",
        {"class": "panel", "id": name, "key": name, "data-live": place.href},
        h("x-news"),
        *children,
    )


def table(columns: Sequence[str], rows: Iterable[Node], right: Sequence[str] = ()) -> Node:
    """A table; each row becomes a block on a phone. `right`: columns of numbers."""
    heads = [h("th", {"scope": "col", "class": "right" if name in right else ""}, name) for name in columns]
    told = [_labelled(row, columns) for row in rows]
    return div(
        "scroll", h("table", {"class": "stacked"}, h("thead", {}, h("tr", {}, *heads)), h("tbody", {}, told))
    )


def _labelled(row: Node, columns: Sequence[str]) -> Node:
    """Its cells say what they are: where there are no columns nothing else does."""
    assert not isinstance(row, str), row
    tag, attributes, cells = row
    told = [_cell(cell, column) for cell, column in zip(cells, columns, strict=True)]
    return h(tag, attributes, *told)


def _cell(cell: Node, column: str) -> Node:
    assert not isinstance(cell, str), cell
    tag, attributes, children = cell
    return h(tag, {**attributes, "data-label": column}, *children)


def chip(address: str, text: Child, *, on: bool) -> Node:
    """A filter that can be chosen, or is."""
    return link(address, f"chip{' on' if on else ''}", text, aria_current="true" if on else "")


def pager(place: Place, after: str | None) -> Node | None:
    """To the page behind this one and back to the first; None where there is only one."""
    back = [link(place.but(), "button", "First page")] if place.asked.get("after") else []
    on = [link(place.but(after=after), "button", "Next page")] if after else []
    return div("pager", *back, *on) if back or on else None


def facts(named: Iterable[tuple[str, Sequence[Child]]]) -> Node:
    """Names and values; those without a value are left out."""
    return h(
        "dl",
        {"class": "facts"},
        [part for name, said in named if said for part in (h("dt", {}, name), h("dd", {}, *said))],
    )
