"""Sagas counted by flow: how many are in flight and where, how many are done, how fast."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from tracker.core.chain import UNKNOWN_FLOW
from tracker.core.flow import Flow
from tracker.core.status import ENDED, Status
from tracker.view.clocks import Stand
from tracker.view.row import Row

SLICE_MS = 10_000
"""Endings are counted in slices of so long."""

SLICES_SHOWN = 10
_SLICES_KEPT = 4 * SLICES_SHOWN


def group_of(row: Row) -> str:
    """What a saga is counted under: its flow, or without one the type of its first event."""
    return row.flow if row.of_flow or not row.begins else f"{UNKNOWN_FLOW} {row.begins}"


class Stage(Struct, frozen=True):
    """Sagas in flight whose newest event is of this type."""

    type: str
    sagas: int


class FlowSummary(Struct, frozen=True):
    """One flow at one time.

    Attributes
    ----------
    in_flight : open, retrying, paused, compensating and stuck ones.
    stages : in the order in which sagas pass them.
    recent : sagas that ended in each of the last `SLICES_SHOWN` whole slices, the oldest first.
    per_second : sagas that ended in a second, on average over `recent`.
    timed : whether the flow has deadlines.
    on_time, due_soon, overdue : open and retrying ones, by the worst of their clocks.
    """

    flow: str
    in_flight: int
    retrying: int
    paused: int
    compensating: int
    stuck: int
    completed: int
    failed: int
    compensated: int
    cancelled: int
    stages: tuple[Stage, ...]
    recent: tuple[int, ...]
    per_second: float
    timed: bool = False
    on_time: int = 0
    due_soon: int = 0
    overdue: int = 0


class FlowCounts:
    """Counts of one flow, kept up to date row by row. Without `flow` the stages order themselves."""

    def __init__(self, name: str, flow: Flow | None = None) -> None:
        self._name = name
        self._timed = flow is not None and bool(flow.rules)
        self._along: Sequence[str] = () if flow is None else (flow.begins, *flow.events, *flow.ends)
        self._statuses: Counter[Status] = Counter()
        self._sagas_at: Counter[str] = Counter()
        self._events_at: Counter[str] = Counter()
        self._ended: Counter[int] = Counter()

    @property
    def sagas(self) -> int:
        """How many there are."""
        return self._statuses.total()

    def add(self, row: Row, sign: int = 1) -> None:
        """Count a row; with the sign -1 take it back."""
        self._statuses[row.status] += sign
        if row.in_flight:
            self._sagas_at[row.where] += sign
            self._events_at[row.where] += sign * row.events
            return
        self._ended[row.acted_ms // SLICE_MS] += sign

    def summary(self, now_ms: int, stands: Mapping[Stand, int]) -> FlowSummary:
        """The counts now. `stands`: how many of those that go on stand how with their deadlines."""
        current = now_ms // SLICE_MS
        for old in [slice_ for slice_ in self._ended if slice_ < current - _SLICES_KEPT]:
            del self._ended[old]
        recent = tuple(max(0, self._ended[current - back]) for back in range(SLICES_SHOWN, 0, -1))
        return FlowSummary(
            flow=self._name,
            in_flight=sum(count for status, count in self._statuses.items() if status not in ENDED),
            retrying=self._statuses[Status.RETRYING],
            paused=self._statuses[Status.PAUSED],
            compensating=self._statuses[Status.COMPENSATING],
            stuck=self._statuses[Status.STUCK],
            completed=self._statuses[Status.COMPLETED],
            failed=self._statuses[Status.FAILED],
            compensated=self._statuses[Status.COMPENSATED],
            cancelled=self._statuses[Status.CANCELLED],
            stages=tuple(self._stages()),
            recent=recent,
            per_second=sum(recent) * 1000 / (SLICES_SHOWN * SLICE_MS),
            timed=self._timed,
            on_time=stands.get("on time", 0),
            due_soon=stands.get("due soon", 0),
            overdue=stands.get("overdue", 0),
        )

    def _stages(self) -> Iterable[Stage]:
        stages = [event_type for event_type, sagas in self._sagas_at.items() if sagas > 0]
        stages.sort(key=self._way_to)
        return (Stage(stage, self._sagas_at[stage]) for stage in stages)

    def _way_to(self, stage: str) -> tuple[int, float, str]:
        # As the flow file has them; the further a saga is, the more events it has: that orders the others.
        place = self._along.index(stage) if stage in self._along else len(self._along)
        return place, self._events_at[stage] / self._sagas_at[stage], stage
