"""Sagas counted by flow: how many are in flight and where, how many are done, how fast."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from tracker.core.status import Status
from tracker.view.row import Row

SLICE_MS = 10_000
"""Endings are counted in slices of so long."""

SLICES_SHOWN = 10
_SLICES_KEPT = 4 * SLICES_SHOWN


class Stage(Struct, frozen=True):
    """Sagas in flight whose newest event is of this type."""

    type: str
    sagas: int


class FlowSummary(Struct, frozen=True):
    """One flow at one time.

    Attributes
    ----------
    stages : in the order in which sagas pass them.
    recent : sagas that ended in each of the last `SLICES_SHOWN` whole slices, the oldest first.
    per_second : sagas that ended in a second, on average over `recent`.
    """

    flow: str
    in_flight: int
    retrying: int
    completed: int
    failed: int
    stages: tuple[Stage, ...]
    recent: tuple[int, ...]
    per_second: float


class FlowCounts:
    """Counts of one flow, kept up to date row by row."""

    def __init__(self, flow: str) -> None:
        self._flow = flow
        self._statuses: Counter[Status] = Counter()
        self._sagas_at: Counter[str] = Counter()
        self._events_at: Counter[str] = Counter()
        self._ended: Counter[int] = Counter()

    def add(self, row: Row, sign: int = 1) -> None:
        """Count a row; with the sign -1 take it back."""
        self._statuses[row.status] += sign
        if row.in_flight:
            self._sagas_at[row.where] += sign
            self._events_at[row.where] += sign * row.events
            return
        self._ended[row.acted_ms // SLICE_MS] += sign

    def summary(self, now_ms: int) -> FlowSummary:
        """The counts now."""
        current = now_ms // SLICE_MS
        for old in [slice_ for slice_ in self._ended if slice_ < current - _SLICES_KEPT]:
            del self._ended[old]
        recent = tuple(max(0, self._ended[current - back]) for back in range(SLICES_SHOWN, 0, -1))
        return FlowSummary(
            flow=self._flow,
            in_flight=self._statuses[Status.OPEN] + self._statuses[Status.RETRYING],
            retrying=self._statuses[Status.RETRYING],
            completed=self._statuses[Status.COMPLETED],
            failed=self._statuses[Status.FAILED],
            stages=tuple(self._stages()),
            recent=recent,
            per_second=sum(recent) * 1000 / (SLICES_SHOWN * SLICE_MS),
        )

    def _stages(self) -> Iterable[Stage]:
        # The further a saga is, the more events it has: that orders the stages without a flow file.
        stages = [event_type for event_type, sagas in self._sagas_at.items() if sagas > 0]
        stages.sort(key=lambda stage: (self._events_at[stage] / self._sagas_at[stage], stage))
        return (Stage(stage, self._sagas_at[stage]) for stage in stages)
