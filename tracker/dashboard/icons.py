"""Small pictures for the rail, drawn with lines in the colour of the text beside them."""

from tracker.dashboard.node import Node, h

_PATHS = {
    "overview": "M3 13V8M8 13V3M13 13V6",
    "flows": "M3 4h3v3H3zM10 9h3v3h-3zM6 5.5h3.5a2 2 0 0 1 2 2V9",
    "sagas": "M3 4h10M3 8h10M3 12h6",
    "alerts": "M8 2.5a3.5 3.5 0 0 1 3.5 3.5c0 3.5 1.5 4.5 1.5 4.5H3S4.5 9.5 4.5 6A3.5 3.5 0 0 1 8 2.5z"
    "M6.5 13h3",
    "dead letters": "M2.5 4.5h11v7h-11zM2.5 5l5.5 4 5.5-4",
    "services": "M8 2.5l5 2.75v5.5L8 13.5l-5-2.75v-5.5zM3 5.25l5 2.75 5-2.75M8 8v5.5",
    "orphans": "M8 2.5v3M8 10.5v3M2.5 8h3M10.5 8h3M4 4l1.5 1.5M10.5 10.5L12 12M12 4l-1.5 1.5M5.5 10.5L4 12",
    "settings": "M3 5h6M11.5 5H13M3 11h1.5M7 11h6M9 3.5v3M5.5 9.5v3",
    "search": "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.5 3.5",
    "theme": "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
    "keys": "M2.5 4.5h11v7h-11zM5 7h.1M8 7h.1M11 7h.1M5.5 9.5h5",
    "menu": "M3 4.5h10M3 8h10M3 11.5h10",
    "close": "M4 4l8 8M12 4l-8 8",
}


def icon(name: str) -> Node:
    """A picture of 16 by 16 pixels that says nothing to those who do not see it."""
    return h(
        "svg",
        {"viewBox": "0 0 16 16", "class": "icon", "aria-hidden": "true"},
        h("path", {"d": _PATHS[name]}),
    )
