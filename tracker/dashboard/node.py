"""What a page consists of: elements with texts in them. `tree.js` draws it, and draws again what has changed.

A text is always a text: nothing that comes from an event is ever read as HTML. An attribute has to be one
of those below, and a link leads to a page of ours or to another site by http.
"""

from typing import TypeAlias

Value: TypeAlias = str | int | float | bool
Attributes: TypeAlias = dict[str, Value]
Node: TypeAlias = str | tuple[str, Attributes, "list[Node]"]
Child: TypeAlias = Node | list[Node] | None

# Text and structure, pictures, and what the browser writes: times (`tracker.dashboard.moment`), how many
# boxes of a table are checked, and how many rows wait to be shown.
_TAG_NAMES = """
a abbr article aside b button code dd details dialog div dl dt em fieldset footer form h1 h2 h3 h4 header hr
input kbd label legend li main nav ol option p pre section select small span strong summary table tbody td
textarea th thead tr ul
svg g path rect circle line polyline polygon text tspan title defs marker
x-at x-ago x-left x-took x-chosen x-news
"""
# "key" tells an element from its neighbours when there are others the next time.
_ATTRIBUTE_NAMES = """
key class id title href role tabindex hidden open lang ms until style
type name value placeholder for form checked selected disabled required min max maxlength rows method action
autocomplete
spellcheck colspan rowspan scope
viewBox width height x y x1 y1 x2 y2 cx cy r rx ry d points transform preserveAspectRatio text-anchor
dominant-baseline stroke-width marker-end refX refY markerWidth markerHeight orient dx dy
"""
_TAGS = frozenset(_TAG_NAMES.split())
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split())
_PREFIXES = ("aria-", "data-")
_LINKS = ("/", "?", "#", "https://", "http://")


def h(tag: str, attributes: Attributes | None = None, *children: Child) -> Node:
    """An element; children that are None are left out, lists of children stand for what is in them.

    Raises
    ------
    ValueError
        A tag or an attribute that pages do not have, or a link that leads elsewhere.
    """
    if tag not in _TAGS:
        raise ValueError(f"pages have no <{tag}>")
    found: Attributes = {}
    for name, value in (attributes or {}).items():
        if value is False or (value == "" and name != "value"):
            continue
        _check(name, value)
        found[name] = value
    below: list[Node] = []
    for child in children:
        if isinstance(child, list):
            below.extend(child)
        elif child is not None:
            below.append(child)
    return tag, found, below


def _check(name: str, value: Value) -> None:
    if name not in _ATTRIBUTES and not name.startswith(_PREFIXES):
        raise ValueError(f"pages have no attribute {name}")
    if name == "href" and not (isinstance(value, str) and is_link(value)):
        raise ValueError(f"no link may lead to {value!r}: write a path of ours, or https://…")
    if name == "style" and not (isinstance(value, str) and value.startswith("--")):
        raise ValueError("only the values of CSS variables are given with a style; the rest is in style.css")


def is_link(url: str) -> bool:
    """Whether a link may lead there: a page of ours, or a site. `//host` is another site and no path."""
    return url.startswith(_LINKS) and not url.startswith(("//", "/\\")) and url.isprintable()


def div(classes: str, *children: Child, **attributes: Value) -> Node:
    """The most frequent element. Underscores in the names of attributes stand for hyphens."""
    return h("div", {"class": classes, **_named(attributes)}, *children)


def span(classes: str, *children: Child, **attributes: Value) -> Node:
    return h("span", {"class": classes, **_named(attributes)}, *children)


def link(href: str, classes: str, *children: Child, **attributes: Value) -> Node:
    """A link to a page of ours; the browser stays on this page and only draws the other one."""
    return h("a", {"href": href, "class": classes, **_named(attributes)}, *children)


def _named(attributes: Attributes) -> Attributes:
    return {name.replace("_", "-"): value for name, value in attributes.items()}


def text_of(node: Node) -> str:
    """All texts of a node, one after another with a space between: what is read aloud, and what tests ask."""
    found: list[str] = []
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            found.append(each)
        else:
            todo.extend(reversed(each[2]))
    return " ".join(found)
