"""What is in flight at one moment."""

from msgspec import Struct

from tracker.core.status import ENDED, Status
from tracker.view.documents.row import SagaSummary, saga_summary
from tracker.view.flows import FlowSummary
from tracker.view.live import Live
from tracker.view.selection import Selection, Sort

_IN_FLIGHT = Selection(statuses=frozenset(Status) - ENDED)


class WatchDocument(Struct, frozen=True):
    """All flows, and of the sagas in flight the oldest.

    Attributes
    ----------
    as_of_ms_ago : all that was written up to then is in it; null if nothing has been read yet.
    silent_ms : for so long nothing new has been written; null if that is not known.
    in_flight : how many are, of all flows.
    unreadable : how many sagas could not be read.
    """

    as_of_ms_ago: int | None
    silent_ms: int | None
    flows: list[FlowSummary]
    in_flight: int
    oldest: list[SagaSummary]
    unreadable: int


def watch_document(now: Live, now_ms: int, oldest: int) -> WatchDocument:
    """The sagas now, with so many of the oldest ones."""
    rows, total = now.sagas.listed(_IN_FLIGHT, Sort.AGE, oldest, now_ms)
    return WatchDocument(
        max(0, now_ms - now.as_of_ms),
        now_ms - now.changed_ms if now.changed_ms else None,
        now.sagas.flows(now_ms),
        total,
        [saga_summary(row, now_ms, now.sagas.forecast(row, now_ms)) for row in rows],
        now.sagas.unreadable,
    )
