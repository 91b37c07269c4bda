"""Count many sagas into `Traffic` at once.

What sagas count under is made once for each way (`tracker.core.way`), and their times are added column by
column: that is several times as quick as to add one `Passage` after the other, and comes to the same
(tests/property/test_tally.py).
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from itertools import pairwise
from operator import sub

from msgspec import Struct

from tracker.core.contract.expected import Edge
from tracker.core.contract.traffic import NOBODY, At, Passage, Traffic, passage
from tracker.core.discovery import trace_types
from tracker.core.quantiles import Quantiles, bucket_of
from tracker.core.saga import Saga
from tracker.core.status import Status
from tracker.core.way import DEAD_LETTERED, IGNORED, RETRYING, Event, Walk, Way, events_of, walk


class Went(Struct, frozen=True, gc=False):
    """How a saga went: its way, how it stands, and its times as `Walk` has them."""

    way: Way
    status: Status
    times_ms: tuple[int, ...]
    runs: tuple[int, ...]


def went(saga: Saga, status: Status, undoing: Container[str]) -> Went | Passage:
    """How a saga went that has ended; the arguments are those of `passage`."""
    return went_by(walk(saga, undoing), saga, status, undoing)


def went_by(walked: Walk | None, saga: Saga, status: Status, undoing: Container[str]) -> Went | Passage:
    """The same, of a saga that has been walked with these words."""
    # The order of events of one millisecond follows from what caused them, which takes more than a walk.
    if walked is None or walked.tied or saga.children:
        return passage(saga, status, undoing)
    return Went(walked.way, status, walked.times_ms, walked.runs)


class Tally:
    """Sagas that are to be counted, or taken back."""

    def __init__(self) -> None:
        self._alike: defaultdict[tuple[Way, Status, int], list[Went]] = defaultdict(list)
        self._others: list[tuple[Passage, int]] = []

    def add(self, one: Went | Passage, sign: int = 1) -> None:
        """Count a saga; with the sign -1 take back one that was counted so."""
        if isinstance(one, Passage):
            self._others.append((one, sign))
            return
        self._alike[one.way, one.status, sign].append(one)

    def traffic(self) -> Traffic:
        """All of them; below zero where more was taken back than counted."""
        found = Traffic()
        for (way, status, sign), alike in self._alike.items():
            _count(found, tuple(events_of(way)), status, alike, sign)
        for one, sign in self._others:
            found.add(one, sign)
        return found


def _count(
    traffic: Traffic, events: Sequence[Event], status: Status, alike: Sequence[Went], sign: int
) -> None:
    spans = _Spans(alike, sign)
    runs = iter([_sketch(column, sign) for column in zip(*(one.runs for one in alike), strict=True)])
    many = sign * len(alike)
    types = tuple(event.type for event in events)
    for place, event in enumerate(events):
        traffic.events.merge_one(event.type, spans.between(0, place))
        if event.cause >= 0:
            edge = Edge(types[event.cause], event.source, event.type)
            traffic.edges.merge_one(edge, spans.between(event.cause, place))
    for event in events:
        for run in event.runs:
            at = At(event.type, run.service)
            for _ in range(run.handled):
                traffic.handled_us.merge_one(at, next(runs))
            if run.failed:
                traffic.failed.add(at, many * run.failed)
            if run.code == IGNORED:
                traffic.ignored.add(at, many)
            if run.code == DEAD_LETTERED:
                traffic.dead_lettered.add(at, many)
            if run.code != RETRYING:
                traffic.answers.merge_one(at, next(runs))
    forward = [place for place, event in enumerate(events) if event.forward]
    for place, after in pairwise(forward):
        traffic.answers.merge_one(At(types[place], NOBODY), spans.between(place, after))
    traffic.sagas += many
    for name in dict.fromkeys(types):
        traffic.reached.add(name, many)
    traffic.standing.add((types[forward[-1]] if forward else "", status), many)
    traffic.follows.add(types, many)
    traffic.variants.times.merge_one(trace_types(types), spans.between(0, len(events) - 1))


class _Spans:
    """How long it was from one event to another: mostly the effect is the next one, and asked for twice."""

    def __init__(self, alike: Sequence[Went], sign: int) -> None:
        self._times = list(zip(*(one.times_ms for one in alike), strict=True))
        self._sign = sign
        self._found: dict[tuple[int, int], Quantiles] = {}

    def between(self, begin: int, end: int) -> Quantiles:
        """From one place on the way to another, of all these sagas."""
        found = self._found.get((begin, end))
        if found is None:
            spans = map(sub, self._times[end], self._times[begin])
            found = self._found[begin, end] = _sketch(spans, self._sign)
        return found


def _sketch(times: Iterable[int], sign: int) -> Quantiles:
    buckets = Counter(map(bucket_of, times))
    return Quantiles(buckets if sign > 0 else {bucket: -count for bucket, count in buckets.items()})
