"""What this process has counted since its start, and what it can say of itself at this moment.

Counting is done where batches are handled, never for each event: a frame, a poll, a commit.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from tracker.core.account import Account
from tracker.core.collect import Uncorrelated
from tracker.core.frame import Read
from tracker.core.histogram import Histogram
from tracker.core.lag import SourceLag
from tracker.core.watermark import Source
from tracker.runtime.settings import Part

Lags = Mapping[Source, SourceLag]


class TableFigures(NamedTuple):
    """The table at this moment. `watermark_age_seconds` is by partition."""

    in_flight: Mapping[tuple[str, str], int]
    dirty: int
    cached: int
    deadlines: int
    sources_gone: int
    watermark_age_seconds: Mapping[int, float]


NO_TABLE = TableFigures({}, 0, 0, 0, 0, {})


class CollectorGauge(Protocol):
    """What can be asked of a collector."""

    def lags(self) -> Lags:
        """The partitions it reads."""

    @property
    def ready(self) -> bool:
        """Whether it collects."""


class TrackerGauge(Protocol):
    """What can be asked of a tracker."""

    def lags(self) -> Lags:
        """The partitions of `saga.steps` it folds."""

    def table_figures(self) -> TableFigures:
        """Its table."""

    @property
    def ready(self) -> bool:
        """Whether it is a member of its group, and its table is recovered."""


class Figures:
    """Counters outlive the collector and the tracker, which may be made anew; a restart begins at zero.

    `visibility` is the delay from the timestamp of a record to the state of its saga in the changelog,
    in seconds; `dead_letters` is by topic. `parts` have to be at work for the process to be ready.
    """

    def __init__(self, parts: Part = "all") -> None:
        self._parts = parts
        self.account = Account()
        self.uncorrelated: Uncorrelated = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.unreadable: Counter[int] = Counter()
        self.visibility = Histogram()
        self.commits = Histogram()
        self.dead_letters: dict[str, int] = {}
        self.records = 0
        self.frames = 0
        self.facts = 0
        self.effects = 0
        self.restarts = 0
        self._collector: CollectorGauge | None = None
        self._tracker: TrackerGauge | None = None

    def collects(self, collector: CollectorGauge | None) -> None:
        """Whose gauges are read from now on."""
        self._collector = collector

    def tracks(self, tracker: TrackerGauge | None) -> None:
        """Whose gauges are read from now on."""
        self._tracker = tracker

    def visible(self, read: Iterable[Read], effects: int) -> None:
        """What was made of these records stands in the table for all to read, after so many effects."""
        self.effects += effects
        now_ms = time.time_ns() // 1_000_000
        for at_ms, records in read:
            self.visibility.add(max(0, now_ms - at_ms) / 1000, records)

    def committed(self, seconds: float) -> None:
        """A commit is done and lasted so long."""
        self.commits.add(seconds)

    def lags(self) -> Lags:
        """All partitions that this process reads: sources, and `saga.steps`."""
        collected = {} if self._collector is None else self._collector.lags()
        folded = {} if self._tracker is None else self._tracker.lags()
        return {**collected, **folded}

    def table(self) -> TableFigures:
        """The table now; an empty one while there is none."""
        return NO_TABLE if self._tracker is None else self._tracker.table_figures()

    @property
    def ready(self) -> bool:
        """Whether all parts are at work."""
        return not self.unready()

    def unready(self) -> str:
        """Why this process is not at work; "" if it is."""
        if self._parts != "collector" and (self._tracker is None or not self._tracker.ready):
            return "the tracker joins its group or recovers its table"
        if self._parts != "tracker" and (self._collector is None or not self._collector.ready):
            return "the collector starts"
        return ""
