"""Sagas that have ended, counted by the hour and by the day, before anything is asked of the database."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct, field

from tracker.core.contract.tally import Tally
from tracker.core.contract.traffic import Traffic
from tracker.core.quantiles import Quantiles
from tracker.core.status import Status
from tracker.view.model.ended import Ended

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_LATEST_MS = 253_402_300_799_999  # the year 9999

Key = tuple[str, int, str, int]
"""The fields of `Group`, and when the hour or the day began."""


class Hour(Struct):
    """Sagas of one version of a flow that ended within an hour.

    Attributes
    ----------
    hour_ms : when the hour began, milliseconds since the epoch.
    breached : those of which a deadline was.
    durations : how long they took from their beginning to their end.
    """

    flow: str
    flow_version: int
    begins: str
    hour_ms: int
    completed: int = 0
    failed: int = 0
    compensated: int = 0
    cancelled: int = 0
    breached: int = 0
    durations: Quantiles = field(default_factory=Quantiles)

    @property
    def ended(self) -> int:
        return self.completed + self.failed + self.compensated + self.cancelled

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """All of them, in the order of the fields."""
        return self.completed, self.failed, self.compensated, self.cancelled, self.breached

    def add(self, one: Ended, sign: int) -> None:
        """Count a saga; with the sign -1 take it back."""
        match one.status:
            case Status.COMPLETED:
                self.completed += sign
            case Status.FAILED:
                self.failed += sign
            case Status.COMPENSATED:
                self.compensated += sign
            case _:
                self.cancelled += sign
        self.breached += sign * one.breached
        self.durations.add(one.took_ms, sign)

    def merge(self, other: "Hour") -> None:
        """Count all that the other one has counted."""
        self.completed += other.completed
        self.failed += other.failed
        self.compensated += other.compensated
        self.cancelled += other.cancelled
        self.breached += other.breached
        self.durations.merge(other.durations)


class Tallied(Struct):
    """How many ended when, and how they went; below zero where more was taken back than counted."""

    hours: dict[Key, Hour]
    days: dict[Key, Traffic]

    def merge(self, other: "Tallied") -> None:
        """Count all that the other one has counted, which stays as it is."""
        for key, hour in other.hours.items():
            self.hours.setdefault(key, Hour(*key)).merge(hour)
        for key, traffic in other.days.items():
            self.days.setdefault(key, Traffic()).merge(traffic)


def tallied(ended: Iterable[Ended], sign: int = 1) -> Tallied:
    """Count sagas; with the sign -1 take them back."""
    hours: dict[Key, Hour] = {}
    days: defaultdict[Key, Tally] = defaultdict(Tally)
    for one in ended:
        flow = one.group
        at_ms = max(0, min(one.at_ms, _LATEST_MS))
        hour_ms, day_ms = at_ms - at_ms % HOUR_MS, at_ms - at_ms % DAY_MS
        hour = hours.get((*flow, hour_ms))
        if hour is None:
            hour = hours[*flow, hour_ms] = Hour(*flow, hour_ms)
        hour.add(one, sign)
        days[*flow, day_ms].add(one.went, sign)
    return Tallied(hours, {key: tally.traffic() for key, tally in days.items()})
