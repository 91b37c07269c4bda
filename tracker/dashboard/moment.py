"""Times and durations in a page. The browser writes them: in the viewer's zone, and anew as time passes."""

from datetime import datetime

from tracker.dashboard.node import Node, h


def at(ms: int) -> Node:
    """`14:03:11.204`, with the date where it is not today's; the exact time, in UTC too, when pointed at."""
    return h("x-at", {"ms": ms})


def ago(ms: int) -> Node:
    """How long ago that was: `3m 12s`."""
    return h("x-ago", {"ms": ms})


def left(until_ms: int) -> Node:
    """`42 s left`, and `overdue 12 s` from then on."""
    return h("x-left", {"ms": until_ms})


def took(from_ms: int, until_ms: int | None = None) -> Node:
    """How long that took; up to now without an end."""
    return h("x-took", {"ms": from_ms} if until_ms is None else {"ms": from_ms, "until": until_ms})


def ms_of(timestamp: str | None) -> int | None:
    """Milliseconds since the epoch of a time in a document; None for what is none."""
    if timestamp is None:
        return None
    try:
        return round(datetime.fromisoformat(timestamp).timestamp() * 1000)
    except ValueError:
        return None
