"""How far the tracker is behind, and when that is worth an alarm.

Two groups read for the tracker: the collectors read business topics, the trackers `saga.steps`. Each
has an alarm of its own. It is raised once when records have waited longer than a limit for a while,
and taken back once when they have waited less than half of it for as long: in between nothing is said.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from msgspec import Struct, structs

from saga.core.ids import derived_id
from tracker.core.effect import Alert

COLLECTOR_GROUP = "saga-collector"


class SourceLag(NamedTuple):
    """What has not been read of a partition: how many records, and how long the oldest has waited."""

    records: int
    seconds: float


CAUGHT_UP = SourceLag(0, 0.0)


def worst(lags: Iterable[SourceLag]) -> SourceLag:
    """All records, and the longest wait."""
    found = list(lags)
    return SourceLag(sum(lag.records for lag in found), max((lag.seconds for lag in found), default=0.0))


class Limits(NamedTuple):
    """`behind_ms`: records that wait longer are late. `after_ms`: for so long before anything is said."""

    behind_ms: int
    after_ms: int


class Alarm(Struct, frozen=True, gc=False):
    """The alarm of one group; times in milliseconds since the epoch, -1 for none.

    `since_ms`: since when the group has been late while the alarm is silent, or well while it is raised.
    `began_ms`: since when it had been late when the alarm was raised, which names the alarm.
    """

    since_ms: int = -1
    began_ms: int = -1

    @property
    def raised(self) -> bool:
        return self.began_ms >= 0


SILENT = Alarm()

News = Literal["", "behind", "caught-up"]


def judge(alarm: Alarm, lag_ms: int, at_ms: int, limits: Limits) -> tuple[Alarm, News]:
    """The alarm after a look at this time, and what is to be said.

    What is said is the same for a repeat with the same alarm, so that who takes over from somebody who
    died repeats it under its name.
    """
    changing = lag_ms < limits.behind_ms / 2 if alarm.raised else lag_ms > limits.behind_ms
    if not changing:
        return (alarm if alarm.since_ms < 0 else structs.replace(alarm, since_ms=-1)), ""
    since_ms = at_ms if alarm.since_ms < 0 else alarm.since_ms
    if at_ms - since_ms < limits.after_ms:
        return (alarm if alarm.since_ms == since_ms else structs.replace(alarm, since_ms=since_ms)), ""
    if alarm.raised:
        return SILENT, "caught-up"
    return Alarm(-1, since_ms), "behind"


def alert(group: str, before: Alarm, news: News, lag: SourceLag, at_ms: int, after: Alarm) -> Alert:
    """What is told of news. `before` and `after` are the alarm then and now."""
    began_ms = after.began_ms if news == "behind" else before.began_ms
    who = "collectors" if group == COLLECTOR_GROUP else "trackers"
    waits = f"{lag.records:,} records wait, the oldest for {lag.seconds:.0f} s"
    if news == "behind":
        message = (
            f"the {who} are behind: {waits}. Nothing is lost, but states are old and deadlines are judged "
            "late. `saga status` says where; start more trackers if there are partitions left to share"
        )
    else:
        message = f"the {who} have caught up; they had fallen behind {(at_ms - began_ms) / 1000:.0f} s ago"
    return Alert(
        derived_id(group, f"tracker.{news}", began_ms),
        "",
        group,
        "",
        0,
        "tracker-behind" if news == "behind" else "tracker-caught-up",
        at_ms,
        message,
    )
