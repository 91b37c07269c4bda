"""Steps still to come: how a saga gets from where it stands to the end of its flow.

Where sagas before it went the same way so far, their most frequent way on is told, of several the one that
ends well, and how many of them had each step. Else it is the shortest way that the expected map knows.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tracker.core.contract.expected import ExpectedMap
from tracker.core.discovery import CUT, Variant


class Ahead(NamedTuple):
    """A step to come: `share` of those that went the same way so far had it, 0 to 1; -1 without such."""

    type: str
    services: tuple[str, ...]
    share: float


def steps_ahead(
    so_far: Sequence[str],
    standing_at: Iterable[str],
    expected: ExpectedMap,
    past: Iterable[Variant] = (),
) -> tuple[Ahead, ...]:
    """What is still to come, in its order.

    Parameters
    ----------
    so_far : its trace, which past variants are compared with.
    standing_at : types of the events that somebody has to answer, or of the newest one.
    """
    way = tuple(so_far)
    alike = [each for each in past if len(each.types) > len(way) and each.types[: len(way)] == way]
    if way and alike:
        likeliest = max(
            alike, key=lambda each: (each.sagas, each.types[-1] in expected.completed, each.types)
        )
        rest = dict.fromkeys(name for name in likeliest.types[len(way) :] if name != CUT)
        total = sum(variant.sagas for variant in alike)
        return tuple(
            Ahead(name, _services(name, expected), _with(name, alike, len(way)) / total) for name in rest
        )
    found: dict[str, None] = {}
    for start in standing_at:
        found.update(dict.fromkeys(_shortest(start, expected)))
    return tuple(Ahead(name, _services(name, expected), -1.0) for name in found if name not in way)


def _with(name: str, alike: Iterable[Variant], after: int) -> int:
    return sum(variant.sagas for variant in alike if name in variant.types[after:])


def _services(name: str, expected: ExpectedMap) -> tuple[str, ...]:
    return tuple(dict.fromkeys(edge.service for edge in expected.leading_to.get(name, ())))


def _shortest(start: str, expected: ExpectedMap) -> list[str]:
    """The types after `start` up to the nearest good end; without ends all that may follow."""
    if start in expected.ends:
        return []
    came_from: dict[str, str] = {start: ""}
    order = [start]
    for name in order:  # grows while it is walked
        for edge in expected.leading_from.get(name, ()):
            if edge.effect not in came_from and edge.effect not in expected.back:
                came_from[edge.effect] = name
                order.append(edge.effect)
                if edge.effect in expected.completed:
                    return _back(edge.effect, came_from)
    return [] if expected.completed else order[1:]


def _back(end: str, came_from: dict[str, str]) -> list[str]:
    way = [end]
    while came_from[way[-1]]:
        way.append(came_from[way[-1]])
    return way[-2::-1]
