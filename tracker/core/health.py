"""Whether the tracker is well, seen from outside, and who holds up time."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from tracker.core.frame import HELD_MS, UNREAD_MS, Frame
from tracker.core.lag import CAUGHT_UP, SourceLag, worst
from tracker.core.watermark import Source

Hold = Literal["", "gone", "unread", "behind", "open transaction", "silent"]
"""Why the time of a source stands still: "" when it does not.

gone : nobody has read it for so long that time goes on without it.
unread : no collector reads it.
behind : the collectors have not read all that is there.
open transaction : a producer has begun one and not ended it; what is behind it can't be read.
silent : it is read to its end, but its broker has not said so for a while.
"""

STILL_MS = 5_000
"""The time of a source that is less behind does not stand still."""


class GroupHealth(NamedTuple):
    """A consumer group: its state by Kafka's word, and the addresses of its members."""

    name: str
    state: str
    members: tuple[str, ...]


class Ends(NamedTuple):
    """Where a partition ends for those who read committed records, and where for all."""

    stable: int
    end: int


class SourceHealth(NamedTuple):
    """A source partition. `watermark_ms`: all up to then has been read; None when that is not known."""

    topic: str
    partition: int
    lag: SourceLag
    watermark_ms: int | None
    hold: Hold


class Health(NamedTuple):
    """The tracker at one time, milliseconds since the epoch.

    `written_ms` is when the table was written last, None if never; `dead_letters` are records by topic.
    """

    at_ms: int
    groups: list[GroupHealth]
    sources: list[SourceHealth]
    steps: Mapping[int, SourceLag]
    written_ms: int | None
    dead_letters: Mapping[str, int]

    @property
    def collector_lag(self) -> SourceLag:
        return worst(source.lag for source in self.sources)

    @property
    def tracker_lag(self) -> SourceLag:
        return worst(self.steps.values())

    @property
    def time_ms(self) -> int | None:
        """The time that deadlines are judged by, as far as collectors tell it."""
        return min((ms for ms in map(_counting_ms, self.sources) if ms is not None), default=None)

    @property
    def holding(self) -> list[SourceHealth]:
        """The sources that hold up time, the one that does most first; and those that are gone."""
        return sorted((s for s in self.sources if s.hold), key=lambda source: source.watermark_ms or 0)


class Standing(NamedTuple):
    """How far the tracker is; times in milliseconds.

    Attributes
    ----------
    asked_ms : when Kafka was asked.
    waits_ms : for how long the oldest record had waited that collectors or trackers had not read.
    lag_records : how many they had not.
    at_work : whether both groups had members.
    """

    asked_ms: int
    waits_ms: int
    lag_records: int
    at_work: bool

    @property
    def as_of_ms(self) -> int:
        """What was written up to then does not wait."""
        return self.asked_ms - self.waits_ms


def standing(
    asked_ms: int, collected: Iterable[SourceLag], folded: Iterable[SourceLag], groups: Iterable[GroupHealth]
) -> Standing:
    """How far the tracker is, by what its two groups have not read. `folded` is to be asked for last: what
    collectors have read by then waits for trackers, or is in the table.
    """
    waiting = worst((worst(collected), worst(folded)))
    at_work = all(group.members for group in groups)
    return Standing(asked_ms, round(waiting.seconds * 1000), waiting.records, at_work)


def told_watermarks(frames: Iterable[Frame]) -> dict[Source, int]:
    """How far collectors say they have read each source; `UNREAD_MS` if none of them reads it."""
    newest: dict[Source, int] = {}
    for frame in frames:
        for mark in frame.watermarks:
            source = mark.topic, mark.partition
            newest[source] = max(mark.at_ms, newest.get(source, UNREAD_MS))
    return newest


def source_health(
    source: Source, lag: SourceLag, told_ms: int | None, gone: bool, ends: Ends | None, at_ms: int
) -> SourceHealth:
    """How a source stands: by its lag, by the newest frames, and by where it ends."""
    known_ms = None if told_ms is None or told_ms <= HELD_MS else told_ms
    return SourceHealth(*source, lag, known_ms, _hold(lag, told_ms, gone, ends, at_ms))


def _hold(lag: SourceLag, told_ms: int | None, gone: bool, ends: Ends | None, at_ms: int) -> Hold:
    if gone:
        return "gone"
    if told_ms is None or told_ms == UNREAD_MS:
        return "unread"
    if at_ms - told_ms < STILL_MS:
        return ""
    if ends is not None and ends.stable < ends.end:
        return "open transaction"
    return "silent" if lag == CAUGHT_UP else "behind"


def problems(health: Health, behind_ms: int) -> list[str]:
    """What is not as it should be, in words; nothing if the tracker is well."""
    found = []
    for group in health.groups:
        if not group.members:
            found.append(f"{group.name} has no members: start `saga track`")
    for who, lag in (("collectors", health.collector_lag), ("trackers", health.tracker_lag)):
        if lag.seconds * 1000 > behind_ms:
            found.append(f"the {who} are behind: {lag.records:,} records wait, one for {lag.seconds:.0f} s")
    gone = [source for source in health.holding if source.hold == "gone"]
    if gone:
        found.append(f"nobody reads {_named(gone)}, and time goes on without it")
    unread = [source for source in health.holding if source.hold == "unread"]
    if unread:
        found.append(f"nobody reads {_named(unread)}, and time waits for it")
    still = [source for source in health.holding if _behind_ms(source, health.at_ms) > behind_ms]
    if still:
        late_s = _behind_ms(still[0], health.at_ms) / 1000
        found.append(f"time is held up for {late_s:.0f} s by {_named(still)}: {still[0].hold}")
    return found


def _behind_ms(source: SourceHealth, at_ms: int) -> int:
    """How far the time of a source that counts is behind."""
    counting_ms = _counting_ms(source)
    return 0 if counting_ms is None else at_ms - counting_ms


def _named(sources: list[SourceHealth]) -> str:
    first = f"{sources[0].topic}-{sources[0].partition}"
    return first if len(sources) == 1 else f"{first} and {len(sources) - 1} more"


def _counting_ms(source: SourceHealth) -> int | None:
    return None if source.hold == "gone" else source.watermark_ms
