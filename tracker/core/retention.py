"""When a saga leaves: what has long been over, or has long been silent, is kept no longer.

It counts from when the saga was heard of last, in the time of its facts and of what was decided; now is
the time of the watermarks (`tracker.core.clock`). So a saga leaves at the same place of the frames whenever
they are read, and a tracker that was down for a month forgets nothing too early.

the saga                                              leaves
has ended, and all that was to be undone is undone    `kept_ms` after that
is of no flow, and nobody owes it an answer           the same
is of no flow, and somebody does                      `silent_ms` after that
belongs to another one                                the same: that may go on for so long
goes on along its flow, and no deadline runs          the same, and an alert says so
has a deadline, is being compensated, stuck or paused never

All that was ever told of a saga that left is older than `kept_ms`. So a fact that old about a saga that is
not known does not begin it anew: that would be half a saga, whose flow would start once more. It comes
when topics are read from their beginning again.
"""

from collections.abc import Sequence
from typing import NamedTuple

from saga.core.ids import derived_id
from tracker.core.chain import business_key
from tracker.core.course import Course
from tracker.core.effect import Alert
from tracker.core.frame import CommandSeen, Fact, HandedOn
from tracker.core.saga import SILENCE_TOLD_MS, Saga
from tracker.core.status import ENDED, status
from tracker.core.subscriptions import Subscriptions

DAY_MS = 86_400_000

_MARGIN_MAX_MS = 600_000


class Retention(NamedTuple):
    """How long sagas are kept that have ended, and those that have not and are silent."""

    kept_ms: int = 7 * DAY_MS
    silent_ms: int = 30 * DAY_MS

    @property
    def margin_ms(self) -> int:
        """A saga leaves so much later than its facts count as old: after a crash time goes on from a moment
        ago, and it is not kept exactly when it was heard of.
        """
        return min(_MARGIN_MAX_MS, self.kept_ms // 10) + SILENCE_TOLD_MS


def may_leave(heard_ms: int, due_ms: int, now_ms: int, retention: Retention) -> bool:
    """Whether it is worth a look: a saga for which this is false stays."""
    return due_ms < 0 and 0 <= heard_ms < now_ms - retention.kept_ms - retention.margin_ms


class Leaving(NamedTuple):
    """A saga leaves: whether it had `ended`, and the alert if somebody should know."""

    ended: bool
    alert: Alert | None = None


def leaving(saga: Saga, now_ms: int, subscriptions: Subscriptions, retention: Retention) -> Leaving | None:
    """How the saga leaves at this time; None if it stays."""
    if not may_leave(saga.heard_ms, saga.due_ms, now_ms, retention):
        return None
    course = saga.course or Course()
    if course.paused is not None:
        return None
    silent_ms = now_ms - max(saga.heard_ms, _decided_ms(course)) - retention.margin_ms
    if _over(saga, course, subscriptions):
        return Leaving(ended=True) if silent_ms > retention.kept_ms else None
    if course.compensation is not None or silent_ms <= max(retention.kept_ms, retention.silent_ms):
        return None
    return Leaving(ended=False, alert=_abandoned(saga, course, now_ms, retention) if course.flow else None)


def in_time(facts: Sequence[Fact], now_ms: int, retention: Retention) -> tuple[list[Fact], list[Fact]]:
    """Facts of a saga that is not known: those that may begin it, and those that are too late for that."""
    kept: list[Fact] = []
    late: list[Fact] = []
    for fact in facts:
        if isinstance(fact, CommandSeen | HandedOn) or fact.told_ms >= now_ms - retention.kept_ms:
            kept.append(fact)
        else:
            late.append(fact)
    return kept, late


def _over(saga: Saga, course: Course, subscriptions: Subscriptions) -> bool:
    state = course.compensation
    if state is not None:
        return state.done_ms >= 0 and state.then_due_ms < 0 and not state.stuck
    return bool(course.outcome) or (not course.flow and status(saga, subscriptions) in ENDED)


def _decided_ms(course: Course) -> int:
    """When the last was decided: an end, a breach, what an operator did."""
    times = [course.ended_ms, *(told.due_ms for told in course.told), *(act.at_ms for act in course.history)]
    if course.compensation is not None:
        times.append(course.compensation.done_ms)
    return max(times)


def _abandoned(saga: Saga, course: Course, now_ms: int, retention: Retention) -> Alert:
    days = retention.silent_ms / DAY_MS
    return Alert(
        derived_id(saga.id, "tracker.alert.abandoned", saga.heard_ms),
        saga.id,
        business_key(saga),
        course.flow,
        course.flow_version,
        "abandoned",
        now_ms,
        f"it has not come to its end, no deadline runs, and nothing was heard of it for {days:g} days: it is "
        "forgotten. Give its flow a deadline for the whole",
    )
