"""Which sagas a list shows, and in what order."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from tracker.core.contract.findings import Kind
from tracker.core.status import Status
from tracker.view.row import Row

URGENCY = (
    Status.STUCK,
    Status.COMPENSATING,
    Status.RETRYING,
    Status.PAUSED,
    Status.OPEN,
    Status.FAILED,
    Status.COMPENSATED,
    Status.CANCELLED,
    Status.COMPLETED,
)
"""What needs a look first comes first."""


def _urgency(row: Row) -> int:
    # Failing is one of the ends of a flow. Without one it is a dead letter that nobody does anything about.
    if row.status is Status.FAILED and not row.of_flow:
        return 0
    return 1 + URGENCY.index(row.status)


class Sort(StrEnum):
    """age: oldest first; status: what needs a look first; flow: by name; last: newest event first."""

    AGE = "age"
    STATUS = "status"
    FLOW = "flow"
    LAST = "last"


SORT_KEYS: dict[Sort, Callable[[Row], tuple[object, ...]]] = {
    Sort.AGE: lambda row: (row.began_ms, row.id),
    Sort.STATUS: lambda row: (_urgency(row), row.began_ms, row.id),
    Sort.FLOW: lambda row: (row.flow, row.began_ms, row.id),
    Sort.LAST: lambda row: (-row.acted_ms, row.id),
}


@dataclass(frozen=True)
class Selection:
    """What a saga must be to be shown; None or empty: anything will do.

    `flow` is that of a flow file, or the type of a first event; `older_than_ms` is the least time
    since it began, in milliseconds. Whether a saga has one of the `findings` only `Sagas` can tell, and
    whether it went a `variant` or took an `edge`, both by their ids, only the read model.
    """

    statuses: frozenset[Status] = frozenset()
    flow: str | None = None
    key: str | None = None
    waiting_for: str | None = None
    older_than_ms: int = 0
    findings: frozenset[Kind] = frozenset()
    variant: str | None = None
    edge: str | None = None

    def older_than(self, age_ms: int) -> "Selection":
        """The same, only of sagas that began so long ago or longer."""
        return replace(self, older_than_ms=age_ms)

    def takes(self, row: Row, now_ms: int) -> bool:
        """Whether the row is one of those to show at this time."""
        return (
            (not self.statuses or row.status in self.statuses)
            and (self.flow is None or self.flow in (row.flow, row.begins))
            and (self.key is None or row.key == self.key)
            and (self.waiting_for is None or self._waits(row))
            # A producer's clock may be ahead: what has not begun yet is shown unless its age matters.
            and (not self.older_than_ms or now_ms - row.began_ms >= self.older_than_ms)
        )

    def _waits(self, row: Row) -> bool:
        return row.in_flight and any(owed.service == self.waiting_for for owed in row.waiting)
