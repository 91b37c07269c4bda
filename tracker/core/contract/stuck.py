"""Stuck: who is waited for much longer than such an answer usually takes.

A wait is stuck after `FACTOR` times the longest of what 99 of 100 such answers took, what the flow file
allows, and a floor. It stays stuck until the saga moves, however the usual time changes meanwhile: what
was decided goes in with the next question, so that nothing flaps.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from tracker.core.contract.findings import Finding, Kind
from tracker.core.contract.traffic import NOBODY, At
from tracker.core.flow import Answer, Between, Flow
from tracker.core.prediction import SAMPLES_MIN
from tracker.core.quantiles import Quantiles
from tracker.core.status import Waiting

FACTOR = 2
FLOOR_MS = 5_000
"""Less than that is a pause and no standstill."""

UNKNOWN_MS = 30_000
"""How long an answer usually takes where neither the past nor the flow file says."""


class Past(Protocol):
    """How long answers took: of a service, or until the next event came (`NOBODY`)."""

    def get(self, key: At, /) -> Quantiles: ...


class Stuck(Struct, frozen=True, order=True, gc=False):
    """A wait that is stuck.

    Attributes
    ----------
    since_ms : since when it is waited for: the event, or the attempt that was to be made.
    stuck_ms : from when on it was stuck.
    event : id of the event; "" where no service is asked and the next event does not come.
    attempt : the last one that failed; another one is a move.
    guessed : neither the past nor the flow file say how long it may take.
    """

    since_ms: int
    stuck_ms: int
    event: str
    type: str
    service: str
    attempt: int = 0
    guessed: bool = False

    def finding(self) -> Finding:
        """The same as a finding."""
        who = (
            f"{self.service} has not answered {self.type}" if self.service else f"nothing follows {self.type}"
        )
        limit_seconds = (self.stuck_ms - self.since_ms) / 1000
        text = f"{who} for more than {limit_seconds:g} s, {FACTOR} times what it may take"
        return Finding(self.stuck_ms, Kind.STUCK, self.event, self.type, text)


def usual_ms(past: Past, flow: Flow | None, event_type: str, service: str) -> int | None:
    """How long such a wait lasts at the most, as a rule; None where neither past nor flow file say."""
    times = past.get(At(event_type, service))
    told_ms = [*_allowed_ms(flow, event_type, service)]
    if times.count >= SAMPLES_MIN:
        told_ms.append(round(times.quantile(0.99)))
    return max(FLOOR_MS, *told_ms) if told_ms else None


def _allowed_ms(flow: Flow | None, event_type: str, service: str) -> Iterator[int]:
    """What the deadlines of the flow file allow from such an event on."""
    for rule in () if flow is None else flow.rules:
        match rule:
            case Answer(within_ms=within_ms, event=event, service=answering):
                if (event, answering) == (event_type, service):
                    yield within_ms
            case Between(within_ms=within_ms, start=start, ends=ends):
                if start == event_type and ends:
                    yield within_ms
            case _:
                pass


def stuck(
    before: Iterable[Stuck], owed: Iterable[Waiting], flow: Flow | None, past: Past, now_ms: int
) -> tuple[Stuck, ...]:
    """The waits that are stuck now; `before` are those that were when it was asked last.

    `owed` are all that the saga waits for; none for one that has ended.
    """
    known = {(wait.event, wait.service, wait.attempt, wait.since_ms): wait for wait in before}
    found = []
    for wait in owed:
        since_ms = max(wait.since_ms, wait.retry_at_ms)
        was = known.get((wait.event, wait.service, wait.attempt, since_ms))
        if was is not None:
            found.append(was)
            continue
        usual = usual_ms(past, flow, wait.type, wait.service)
        stuck_ms = since_ms + FACTOR * (UNKNOWN_MS if usual is None else usual)
        if now_ms >= stuck_ms:
            what = wait.event, wait.type, wait.service, wait.attempt
            found.append(Stuck(since_ms, stuck_ms, *what, guessed=usual is None))
    return tuple(sorted(found))


def next_event(where: str, where_ms: int) -> Waiting:
    """The wait of a saga that nobody owes an answer, and that is not at its end."""
    return Waiting("", where, NOBODY, "", where_ms)
