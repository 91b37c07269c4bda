"""A saga as process mining sees it: a case, and its events in order.

The writers beside this module turn cases into the text of a file, piece by piece: whoever has a place for
the pieces (a file, a response over HTTP) can write a log of any size.
"""

from typing import NamedTuple

from msgspec import Struct

from saga.core.envelope import rfc3339
from tracker.core.discovery import events_in_order
from tracker.core.saga import Saga


class Happened(NamedTuple):
    """One event. `resource` is who published it; `cause` and `key` are "" without one."""

    id: str
    type: str
    at_ms: int
    resource: str
    cause: str
    key: str
    topic: str


class Case(Struct, frozen=True, gc=False):
    """One saga. `truncated`: it had more events than are kept; `parent`: the saga that began it, or ""."""

    id: str
    flow: str
    status: str
    key: str
    began_ms: int
    parent: str
    truncated: bool
    events: tuple[Happened, ...]


def case_of(saga: Saga, flow: str, status: str, key: str, began_ms: int) -> Case:
    """The case that a saga is; the rest is how it reads together with flows and subscriptions."""
    return Case(
        saga.id,
        flow,
        status,
        key,
        began_ms,
        "" if saga.parent is None else saga.parent.saga,
        saga.truncated,
        tuple(
            Happened(event, seen.type, seen.time_ms, seen.source, seen.cause, seen.key, seen.topic)
            for event, seen in events_in_order(saga)
        ),
    )


def timestamp(at_ms: int) -> str:
    """ISO 8601 in UTC; what no calendar holds becomes the nearest time that one does."""
    return rfc3339(min(max(at_ms, _FIRST_MS), _LAST_MS)).decode()


_FIRST_MS, _LAST_MS = 0, 253_402_300_799_999  # 1970 to the end of 9999
