"""The funnel of a flow: how many sagas have passed each stage, and how many stand there now."""

from collections.abc import Iterable
from typing import NamedTuple

from tracker.core.contract.expected import ExpectedMap
from tracker.core.contract.traffic import Traffic
from tracker.core.status import ENDED, Status

_GOING = frozenset({Status.OPEN, Status.RETRYING})


class Stage(NamedTuple):
    """One event type on the way of a flow.

    Attributes
    ----------
    passed : sagas that have such an event.
    share : of all sagas, 0 to 1.
    after_ms : when it comes in the middle, since the beginning of the saga.
    standing : open and retrying ones of which it is the newest event on their way.
    compensating : those that are being undone from here, stuck undos among them.
    ended : those that ended here.
    declared : whether it is on the expected map.
    """

    type: str
    passed: int
    share: float
    after_ms: float
    standing: int
    compensating: int
    ended: int
    declared: bool


def funnel(traffic: Traffic, expected: ExpectedMap) -> tuple[Stage, ...]:
    """The stages in the order of the expected map; those it does not know by when they come.

    What comes only when something is undone is no stage.
    """
    others = [name for name in traffic.reached if name not in expected.known]
    others.sort(key=lambda name: (traffic.events.get(name).quantile(0.5), name))
    return tuple(_stage(name, traffic, expected) for name in _with_ends_last(expected, others))


def _with_ends_last(expected: ExpectedMap, others: Iterable[str]) -> list[str]:
    before = [name for name in expected.forward if name not in expected.ends]
    return [*before, *others, *(name for name in expected.forward if name in expected.ends)]


def _stage(name: str, traffic: Traffic, expected: ExpectedMap) -> Stage:
    def at(statuses: Iterable[Status]) -> int:
        return sum(traffic.standing[name, status] for status in statuses)

    passed = traffic.reached[name]
    return Stage(
        name,
        passed,
        passed / traffic.sagas if traffic.sagas else 0.0,
        traffic.events.get(name).quantile(0.5),
        at(_GOING),
        at((Status.COMPENSATING, Status.STUCK)),
        at(ENDED),
        name in expected.known,
    )
