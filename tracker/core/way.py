"""The way of a saga: what it has in common with all that went alike, and apart from it its times.

Most sagas of a flow go one of a few ways. So what follows from the way is worked out once for each, and of
a saga only its times are looked at: that is several times as quick, and comes to the same.
"""

from collections.abc import Container, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from msgspec import Struct

from tracker.core.cloudevent import SOURCE
from tracker.core.saga import OUTCOMES, Attempt, Saga, Step

RETRYING, DEAD_LETTERED, IGNORED, HANDLED, PARKED = map(
    OUTCOMES.index, ("retrying", "dead-lettered", "ignored", "handled", "parked")
)
UNNAMED, UNKNOWN = -1, -2
"""In place of a cause: the event names none, or one that is not among the events."""

Way = tuple[str | int, ...]
"""The fields of its events, the oldest first, each with its number of runs and theirs. One flat tuple, since
a million of them are made and compared."""


class Run(NamedTuple):
    """What a service did with an event: attempts that handled it, those that failed, and the last one."""

    service: str
    handled: int
    failed: int
    code: int


class Event(NamedTuple):
    """An event on a way; `cause` is the place of another one, or says that there is none."""

    type: str
    source: str
    cause: int
    forward: bool
    runs: list[Run]


class Walk(Struct, frozen=True, gc=False):
    """A saga as its way, and what is its own.

    Attributes
    ----------
    times_ms : of its events in their order, milliseconds since the epoch.
    tied : whether two of them are of the same millisecond: then the way has them as they lie in Kafka.
    runs : for each run how long each attempt took that handled it, in microseconds, and, unless it is tried
        again, how long after the event it was over, in milliseconds.
    copied : whether an event was published more than once.
    key : of the first event that has one other than the id of the saga.
    acted_ms : when the last thing known of it happened.
    retry_ms : since when a handler waits that is tried again, the earliest of them; None without any.
    retried : whether one has been tried.
    erring : whether what some handler failed with still stands.
    """

    way: Way
    times_ms: tuple[int, ...]
    tied: bool
    runs: tuple[int, ...]
    copied: bool
    key: str
    acted_ms: int
    retry_ms: int | None
    retried: bool
    erring: bool


def walk(saga: Saga, undoing: Container[str] = frozenset()) -> Walk | None:
    """One walk over the steps of a saga; `undoing` are types that are not on its way (`Flow.undo_words`).

    None where not all is known of its events, or it takes a closer look: the tracker had a hand in it, a
    service answered with several handlers, or is behind with its key.
    """
    found: list[tuple[int, str, Step]] = []
    for event, step in saga.steps.items():
        seen = step.seen
        if seen is None or seen.source == SOURCE:
            return None
        found.append((seen.time_ms, event, step))
    if saga.sample is not None or not found:
        return None
    found.sort()
    times = [time_ms for time_ms, _, _ in found]
    tied = len(set(times)) < len(times)
    if tied:
        found.sort(key=_seen)
    places = {event: place for place, (_, event, _) in enumerate(found)}
    way: list[str | int] = []
    runs: list[int] = []
    key, acted_ms = "", times[-1]
    retry_ms: int | None = None
    copied = retried = erring = begun = False
    for time_ms, _, step in found:
        seen = step.seen
        assert seen is not None
        cause = places.get(seen.cause, UNKNOWN) if seen.cause else UNNAMED
        # That of the event that began it comes before any other.
        if seen.key and (not key or (cause == UNNAMED and not begun)):
            key = seen.key
        if cause == UNNAMED:
            begun = True
        if step.copies:
            copied = True
        handlings = step.handlings
        way += (seen.type, seen.source, cause, seen.type not in undoing, len(handlings))
        before = ""
        for handling in handlings:
            service, attempts = handling.service, handling.attempts
            if service == before:
                return None  # they are sorted by service
            before = service
            last = attempts[-1]
            code = last.code
            if len(attempts) == 1:
                way += (service, code == HANDLED, code == RETRYING, code)
                if code == HANDLED:
                    runs.append(last.duration_us)
            else:
                way += (service, *_attempts(attempts, runs), code)
                acted_ms = max(acted_ms, *(each.at_ms + each.duration_us // 1000 for each in attempts))
            ended_ms = last.at_ms + last.duration_us // 1000
            if ended_ms > acted_ms:
                acted_ms = ended_ms
            if code == PARKED:
                return None
            if code == RETRYING:
                retried = retried or last.number > 0
                since_ms = max(time_ms, last.retry_at_ms)
                retry_ms = since_ms if retry_ms is None else min(retry_ms, since_ms)
            else:
                runs.append(ended_ms - time_ms if ended_ms > time_ms else 0)
            if last.error and not last.settled:
                erring = True
    return Walk(tuple(way), tuple(times), tied, tuple(runs), copied, key, acted_ms, retry_ms, retried, erring)


def events_of(way: Way) -> Iterator[Event]:
    """The events of a way, the oldest first."""
    fields: Iterator[Any] = iter(way)
    for name in fields:
        source, cause, forward, runs = islice(fields, 4)
        yield Event(name, source, cause, forward, [Run(*islice(fields, 4)) for _ in range(runs)])


def _attempts(attempts: Sequence[Attempt], runs: list[int]) -> tuple[int, int]:
    """How many handled the event, which are noted in `runs`, and how many failed."""
    handled = [attempt.duration_us for attempt in attempts if attempt.code == HANDLED]
    runs += handled
    return len(handled), sum(1 for attempt in attempts if attempt.code == RETRYING)


def _seen(found: tuple[int, str, Step]) -> Any:
    return found[2].seen
