"""Prediction: how a saga that is under way will go on, by how sagas of its flow went on before.

The past of a flow are the sagas that completed. Each tells for every event on its way how long it was the
newest one, and how long it took from there to the end. Of a saga that has been at an event for some time
only those are its like that were there longer: their times are the forecast. There is no model behind it,
and with fewer than `SAMPLES_MIN` of its like there is no forecast.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from tracker.core.chain import forward_events
from tracker.core.flow import Answer, Between, Flow, Silence
from tracker.core.saga import Saga
from tracker.core.sla import NEVER, Clock, clocks
from tracker.core.timeline import Timeline

SAMPLES_MIN = 20
SAMPLES_MAX = 500
"""So many are kept for each event type and each kind of answer, the newest."""

RISK_MIN = 0.2
"""A greater chance to breach a deadline makes a saga one at risk."""

_UNUSUAL_SHARE = 0.01
_SORTED_MAX = 1_000

_Target = tuple[str, ...]
"""What is awaited: the end of the saga (), or where a rule starts and the event types that end it."""

_END: _Target = ()


class Sample(NamedTuple):
    """How a saga went on from one of its events.

    Attributes
    ----------
    stay_ms : how long it was the newest event.
    left_ms : from the event to what was awaited, the end of the saga among others.
    """

    stay_ms: int
    left_ms: Mapping[_Target, int]


class Journey(NamedTuple):
    """What one completed saga tells: samples by event type, and how long answers took."""

    samples: tuple[tuple[str, Sample], ...]
    answers: tuple[tuple[tuple[str, str], int], ...]


class Chance(NamedTuple):
    """The chance that a clock is breached, 0 to 1. `event` is the one whose clock it is, or ""."""

    rule: str
    event: str
    chance: float


class Forecast(NamedTuple):
    """What the past says of a saga.

    Attributes
    ----------
    where : type of the event at which it is.
    history : how often sagas that completed were there.
    alike : how often they were there as long as this one is already. The times are theirs.
    end_p50_ms, end_p90_ms : when it ends, in the middle and in nine of ten cases; -1 if they are too few.
    chances : of its clocks, the greatest first. A clock of which too little is known is not among them.
    """

    where: str
    history: int
    alike: int
    end_p50_ms: int
    end_p90_ms: int
    chances: tuple[Chance, ...]

    @property
    def known(self) -> bool:
        """Whether there is enough to go by."""
        return self.alike >= SAMPLES_MIN

    @property
    def unusual(self) -> bool:
        """Whether it has been there longer than nearly all that completed."""
        return self.history >= SAMPLES_MIN and self.alike < self.history * _UNUSUAL_SHARE

    @property
    def risk(self) -> float:
        """The greatest chance of all its clocks; 0 if none is known."""
        return self.chances[0].chance if self.chances else 0.0


def journey(saga: Saga, flow: Flow) -> Journey | None:
    """How a saga went, for the history of its flow; None unless it completed, not undone and not paused."""
    course = saga.course
    if course is None or course.outcome != "completed" or course.compensation is not None or course.pauses:
        return None
    timeline = Timeline(saga)
    end_ms = course.ended_ms
    met: dict[_Target, int] = {_END: end_ms}
    answers = []
    for clock in clocks(flow, timeline):
        came_ms = end_ms if clock.met_ms == NEVER else clock.met_ms
        if isinstance(clock.rule, Between) and clock.rule.ends:
            met[_target(clock.rule)] = came_ms
        elif isinstance(clock.rule, Answer) and clock.met_ms != NEVER:
            answers.append(((clock.rule.event, clock.rule.service), max(0, came_ms - clock.start_ms)))
    on_the_way = (seen for seen in forward_events(saga, flow.undo_words) if seen.time_ms <= end_ms)
    samples = tuple(
        (
            seen.type,
            Sample(
                after.time_ms - seen.time_ms,
                {target: max(0, at_ms - seen.time_ms) for target, at_ms in met.items()},
            ),
        )
        for seen, after in pairwise(on_the_way)
    )
    return Journey(samples, tuple(answers))


class History:
    """The journeys of a flow, in all its versions, and what follows from them."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._answers: dict[tuple[str, str], _Times] = {}

    def add(self, told: Journey) -> None:
        """Take in how another saga went; old ones are forgotten for it."""
        for where, sample in told.samples:
            self._places.setdefault(where, _Place()).add(sample)
        for answer, took_ms in told.answers:
            self._answers.setdefault(answer, _Times()).add(took_ms)

    def forecast(self, where: str, since_ms: int, running: Iterable[Clock], now_ms: int) -> Forecast:
        """How a saga goes on that has been at `where` since `since_ms`.

        `running` are its clocks that are not met; those that are overdue are breached for certain.
        """
        place = self._places.get(where) or _Place()
        waited_ms = max(0, now_ms - since_ms)
        ends = place.left(_END, waited_ms)
        p50_ms = p90_ms = -1
        if len(ends) >= SAMPLES_MIN:
            p50_ms, p90_ms = (since_ms + quantile(ends, share) for share in (0.5, 0.9))
        chances = sorted(self._chances(place, since_ms, waited_ms, running, now_ms), key=_by_chance)
        return Forecast(where, place.samples, len(ends), p50_ms, p90_ms, tuple(chances))

    def _chances(
        self, place: "_Place", since_ms: int, waited_ms: int, running: Iterable[Clock], now_ms: int
    ) -> Iterator[Chance]:
        for clock in running:
            if clock.due_ms <= now_ms:
                yield Chance(clock.rule.name, clock.event, 1.0)
                continue
            match clock.rule:
                case Between():
                    took = place.left(_target(clock.rule), waited_ms)
                    chance = share_longer(took, clock.due_ms - since_ms, waited_ms)
                case Silence():
                    chance = share_longer(place.stays(), clock.due_ms - since_ms, waited_ms)
                case Answer():
                    times = self._answers.get((clock.rule.event, clock.rule.service)) or _Times()
                    chance = share_longer(
                        times.ordered(), clock.due_ms - clock.start_ms, now_ms - clock.start_ms
                    )
            if chance is not None:
                yield Chance(clock.rule.name, clock.event, chance)


def share_longer(ordered_ms: Sequence[int], than_ms: int, waited_ms: int) -> float | None:
    """The share that took longer than `than_ms`, of those that took longer than `waited_ms`.

    `ordered_ms` is sorted. None when the latter are fewer than `SAMPLES_MIN`.
    """
    alike = len(ordered_ms) - bisect_right(ordered_ms, waited_ms)
    if alike < SAMPLES_MIN:
        return None
    return (len(ordered_ms) - bisect_right(ordered_ms, max(than_ms, waited_ms))) / alike


def quantile(ordered: Sequence[int], share: float) -> int:
    """The least value that so large a share does not exceed. `ordered` is sorted and not empty."""
    # In whole numbers: 0.9 * 10 is a little more than 9 for a computer, or a little less.
    rank = -(-len(ordered) * round(share * 1_000) // 1_000)
    return ordered[max(0, rank - 1)]


class _Times:
    """How long something took, the newest times."""

    def __init__(self) -> None:
        self._times: deque[int] = deque(maxlen=SAMPLES_MAX)
        self._ordered: list[int] | None = None

    def add(self, took_ms: int) -> None:
        self._times.append(took_ms)
        self._ordered = None

    def ordered(self) -> list[int]:
        if self._ordered is None:
            self._ordered = sorted(self._times)
        return self._ordered


class _Place:
    """What is known of one event type.

    Which samples are like a saga depends only on how many stayed no longer than it has. So all that is
    sorted of them is kept: a hundred thousand sagas ask again and again.
    """

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)
        self._by_stay: list[Sample] | None = None
        self._stays: list[int] = []
        self._left: dict[tuple[_Target, int], list[int]] = {}

    @property
    def samples(self) -> int:
        return len(self._samples)

    def add(self, sample: Sample) -> None:
        self._samples.append(sample)
        self._by_stay = None

    def stays(self) -> list[int]:
        """How long the event was the newest one, sorted."""
        self._sorted()
        return self._stays

    def left(self, target: _Target, waited_ms: int) -> list[int]:
        """How long it took from the event to the target where it was the newest for longer, sorted."""
        by_stay = self._sorted()
        first = bisect_right(self._stays, waited_ms)
        found = self._left.get((target, first))
        if found is None:
            if len(self._left) >= _SORTED_MAX:
                self._left.clear()
            alike = by_stay[first:]
            found = sorted(sample.left_ms[target] for sample in alike if target in sample.left_ms)
            self._left[target, first] = found
        return found

    def _sorted(self) -> list[Sample]:
        if self._by_stay is None:
            self._by_stay = sorted(self._samples, key=_by_stay)
            self._stays = [sample.stay_ms for sample in self._by_stay]
            self._left.clear()
        return self._by_stay


def _target(rule: Between) -> _Target:
    return (rule.start, *rule.ends) if rule.ends else _END


def _by_stay(sample: Sample) -> int:
    return sample.stay_ms


def _by_chance(chance: Chance) -> tuple[float, str, str]:
    return -chance.chance, chance.rule, chance.event
