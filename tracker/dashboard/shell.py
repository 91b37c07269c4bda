"""What stands around every page: the rail, the search, how fresh it all is, the keys."""

from collections.abc import Mapping
from typing import NamedTuple

from tracker.access.role import Principal
from tracker.dashboard.icons import icon
from tracker.dashboard.moment import ago
from tracker.dashboard.node import Node, div, h, link, span
from tracker.view.queries.freshness import Freshness


class Entry(NamedTuple):
    """A page of the rail: its name, where it is, and the key that leads there after `g`."""

    name: str
    path: str
    key: str


ENTRIES = (
    Entry("Overview", "/", "o"),
    Entry("Flows", "/flows", "f"),
    Entry("Sagas", "/sagas", "s"),
    Entry("Alerts", "/alerts", "a"),
    Entry("Dead letters", "/dead-letters", "d"),
    Entry("Services", "/services", "v"),
    Entry("Orphans", "/orphans", "r"),
    Entry("Settings", "/settings", "e"),
)

STALE_MS = 5_000
"""From then on it is said loudly that what is shown is old."""

NOTHING_READ = "Nothing has been read from Kafka yet: start a projector with `saga project`."
NO_PROJECTOR = "No projector is at work: start one with `saga project`, and look at the log of the last one."
NO_TRACKER = (
    "No tracker is at work: no deadline is judged and nothing is undone. Start one with `saga track`, and "
    "look at the log of the last one."
)
TRACKER_STALE_MS = 10_000
"""The same for the tracker, which is asked about once a second and on a busy machine less often."""


def rail(path: str, entries: tuple[Entry, ...], counts: Mapping[str, int]) -> Node:
    """The pages; `counts` are those of what needs somebody, by the path of the page."""
    return h(
        "nav",
        {"class": "rail", "aria-label": "Pages"},
        link("/", "brand", _mark(), span("brand-name", "saga")),
        h("ul", {}, [_entry(entry, path, counts.get(entry.path, 0)) for entry in entries]),
    )


def _entry(entry: Entry, path: str, count: int) -> Node:
    here = path == entry.path or (entry.path != "/" and path.startswith(entry.path + "/"))
    return h(
        "li",
        {},
        h(
            "a",
            {
                "href": entry.path,
                "class": "here" if here else "",
                "data-key": entry.key,
                "aria-current": "page" if here else "",
                "title": f"{entry.name} (g {entry.key})",
            },
            icon(entry.name.lower()),
            span("name", entry.name),
            span("count number", f"{count:,}", title=_COUNTED.get(entry.path, "")) if count else None,
        ),
    )


_COUNTED = {
    "/sagas": "sagas of which an undo is stuck",
    "/alerts": "alerts of the last hour",
    "/dead-letters": "dead letters that are to be done",
    "/orphans": "records that belong to no saga, of the newest of each partition",
}


def _mark() -> Node:
    return h(
        "svg",
        {"viewBox": "0 0 20 20", "class": "mark", "aria-hidden": "true"},
        h("path", {"d": "M4 5h8a4 4 0 0 1 0 8H8"}),
        h("circle", {"cx": 4, "cy": 5, "r": 2}),
        h("circle", {"cx": 8, "cy": 13, "r": 2}),
        h("path", {"d": "M4 7v8.5a1.5 1.5 0 0 0 1.5 1.5H16"}),
    )


def top(query: str, principal: Principal) -> Node:
    """The bar above a page."""
    return h(
        "header",
        {"class": "top"},
        h(
            "button",
            {"type": "button", "class": "quiet menu", "data-menu": True, "aria-label": "Pages"},
            icon("menu"),
        ),
        h(
            "form",
            {"class": "search", "role": "search", "method": "get", "action": "/sagas", "key": query},
            icon("search"),
            h(
                "input",
                {
                    "id": "search",
                    "type": "search",
                    "name": "q",
                    "value": query,
                    "placeholder": "Business key or saga id",
                    "aria-label": "Search sagas by business key or id",
                    "autocomplete": "off",
                    "spellcheck": "false",
                },
            ),
            h("kbd", {"aria-hidden": "true"}, "/"),
        ),
        div("fill"),
        h(
            "button",
            {
                "type": "button",
                "class": "quiet",
                "data-open": "keys",
                "aria-label": "Keys",
                "title": "Keys (?)",
            },
            icon("keys"),
        ),
        h(
            "button",
            {
                "type": "button",
                "class": "quiet",
                "data-theme-switch": True,
                "aria-label": "Light or dark",
                "title": "Light or dark",
            },
            icon("theme"),
        ),
        _user(principal),
        _keys(),
    )


def _user(principal: Principal) -> Node:
    name = "" if principal.how == "local" else principal.name
    return span(
        "user",
        span("user-name", name),
        span("role", principal.role.text),
        title="who you are, and what you may do",
    )


def _keys() -> Node:
    keys = [
        ("/", "search"),
        *((f"g {entry.key}", entry.name.lower()) for entry in ENTRIES),
        ("j  k", "next and previous row"),
        ("Enter", "open the row"),
        ("?", "these keys"),
    ]
    return h(
        "dialog",
        {"id": "keys", "aria-labelledby": "keys-title"},
        h("h2", {"id": "keys-title"}, "Keys"),
        h("dl", {"class": "keys"}, [part for key, does in keys for part in _key(key, does)]),
        h("form", {"method": "dialog"}, h("button", {"type": "button", "data-close": True}, "Close")),
    )


def _key(key: str, does: str) -> list[Node]:
    return [h("dt", {}, *(h("kbd", {}, part) for part in key.split())), h("dd", {}, does)]


def freshness_line(fresh: Freshness | None) -> Node:
    """`as of 0.8 s ago`; a banner when that is long ago, or something is wrong with what keeps it fresh."""
    if fresh is None:
        return div(
            "freshness", _banner(["The database does not answer: look at the log of `saga dashboard`."])
        )
    if not fresh.as_of_ms:
        return div("freshness", _banner([NOTHING_READ]))
    problem = _problem(fresh)
    stale = bool(problem)
    said = span(f"as-of{' stale' if stale else ''}", "as of ", ago(fresh.as_of_ms), " ago")
    if fresh.building:
        built = f"{fresh.built:.0%} of the sagas are there: the read model is being made from Kafka."
        return div("freshness", said, _banner([built]))
    if not problem:
        return div("freshness", said)
    old: list[Node] = ["What you see is ", ago(fresh.as_of_ms), " old."] if fresh.age_ms >= STALE_MS else []
    return div("freshness", said, _banner([problem], old))


def _problem(fresh: Freshness) -> str:
    """Why what is shown is old, or may soon be; "" if it is not."""
    if fresh.projector_age_ms >= STALE_MS:
        return f"{fresh.lag_records:,} records wait to be read." if fresh.alive else NO_PROJECTOR
    tracker = fresh.tracker
    if tracker is None:
        return ""
    if not tracker.at_work:
        return NO_TRACKER
    if tracker.age_ms < TRACKER_STALE_MS:
        return ""
    if tracker.lag_records:
        return f"The tracker is behind: {tracker.lag_records:,} records wait. `saga status` says where."
    return "How far the tracker is can't be asked: look at the log of the projector."


def _banner(problems: list[str], before: list[Node] | None = None) -> Node:
    return h(
        "div", {"class": "banner", "role": "alert"}, *(before or []), *(f" {problem}" for problem in problems)
    )
