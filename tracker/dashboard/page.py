"""What a page is: a title and a tree; and what all of them are made of."""

from typing import NamedTuple

from tracker.dashboard.node import Child, Node, div, h


class Page(NamedTuple):
    """`search` stands in the search field; `moved` is an address to go to instead.

    `key`: pages with the same one are one page that changes; "" stands for the address.
    """

    title: str
    body: Node
    search: str = ""
    moved: str = ""
    key: str = ""


def body(*children: Child) -> Node:
    """A page below the bar."""
    return div("page", *children)


def head(title: str, *beside: Child) -> Node:
    """The heading of a page, and what is said beside it."""
    return div("head", h("h1", {}, title), *beside)


def panel(title: str, *children: Child, beside: Child = None, name: str = "") -> Node:
    """A part of a page; without a title if that is "". `name` is what a link to it ends with.

    Those that come and go need one, or what is typed in others would go with them.
    """
    heading = div("panel-head", h("h2", {}, title), beside) if title else None
    return h("section", {"class": "panel", "id": name, "key": name}, heading, *children)


def empty(title: str, *what_to_do: Child) -> Node:
    """Stands where nothing is, and says what to do next."""
    return div("empty", h("h2", {}, title), h("p", {}, *what_to_do))


def failed(why: str) -> Page:
    """What is shown where a page can't be."""
    return Page(
        "Failed", body(head("This can't be shown"), panel("", empty(why, "It is tried again and again.")))
    )


def unknown(path: str) -> Page:
    """What is shown where no page is."""
    return Page(
        "No such page",
        body(
            head("No such page"),
            panel("", empty(path, "Choose a page at the left, or press ", h("kbd", {}, "/"), " and search.")),
        ),
    )
