"""Several keys that together name a saga: which of the names belongs to which.

A record that has the keys order and payment is told to the saga of the order; that of the payment is
told that it belongs there (`Joined`). From then on it keeps no steps: what it has, and whatever it is
told later, it hands on. So the events of a payment find the order, whichever came first.

A saga can be joined with one of each earlier key. It belongs to the one of the earliest, and tells
that to the others: so all that is connected comes to one saga. Another one of the same key is a
contradiction. The first counts: what was decided by it can't be taken back.

A saga belongs to one of an earlier key only, so no path of them leads back to where it began. Rules
that were changed to another order of the keys could make one that does. What is handed on carries its
path, and the least saga of such a circle cuts it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import structs

from saga.core.ids import derived_id
from tracker.core.effect import Alert, Effect, HandOn, Lifecycle
from tracker.core.frame import CommandSeen, Fact, HandedOn, Joined
from tracker.core.saga import REFUSED_MAX, SAGA_VERSION, SILENCE_TOLD_MS, Joins, Link, Saga
from tracker.core.unfold import unfold

PATH_MAX = 16
"""Sagas of a path that are kept: a circle cannot have more than there are keys in all rules of it."""

_NO_JOINS = Joins()


class Settled(NamedTuple):
    """The saga with what it is joined with; if it belongs to another one, it hands on all these facts."""

    saga: Saga | None
    effects: list[Effect]


def settle(
    saga: Saga | None, saga_id: str, facts: Sequence[Fact], now_ms: int | None, wall_ms: int
) -> Settled:
    """Which saga the facts are for: this one, or the one that it belongs to (`Saga.joined`)."""
    before = _NO_JOINS if saga is None or saga.joins is None else saga.joins
    paths = [fact.path for fact in facts if isinstance(fact, HandedOn)]
    joins = before
    for fact in facts:
        if isinstance(fact, Joined):
            joins = _with(joins, fact, saga_id)
    for path in paths:
        joins = _cut(joins, path, saga_id)
    effects: list[Effect] = [
        _contradiction(saga_id, joins, other, wall_ms) for other in joins.refused[len(before.refused) :]
    ]
    if not joins.links:
        if saga is not None and joins != before:
            saga = structs.replace(saga, joins=joins)
        return Settled(saga, effects)
    first = joins.links[0]
    heard_ms = _heard_ms(saga, facts, max(wall_ms, now_ms or 0))
    if saga is not None and saga.course is not None and saga.course.flow and not before.links:
        effects.append(_joined(saga, first.saga, wall_ms))
    news = (fact for fact in facts if not isinstance(fact, Joined | HandedOn))
    handed = [*(unfold(saga) if saga is not None else ()), *news]
    if handed:
        effects.append(HandOn(first.saga, (*_paths(paths, saga_id), *handed)))
    if joins.links != before.links:
        claim = Joined(first.saga, first.rank, heard_ms)
        effects += [HandOn(other.saga, (claim,)) for other in joins.links[1:]]
    if saga is None or joins != before or heard_ms != saga.heard_ms or saga.steps or saga.children:
        saga = Saga(SAGA_VERSION, saga_id, -1, heard_ms, {}, joins=joins)
    return Settled(saga, effects)


def _heard_ms(saga: Saga | None, facts: Iterable[Fact], latest_ms: int) -> int:
    """When it was last heard of, as `tracker.core.fold` keeps it."""
    times = (fact.told_ms for fact in facts if not isinstance(fact, CommandSeen | HandedOn))
    newest_ms = min(max(times, default=-1), latest_ms)
    return max(newest_ms - newest_ms % SILENCE_TOLD_MS, -1 if saga is None else saga.heard_ms)


def _with(joins: Joins, claim: Joined, saga_id: str) -> Joins:
    """Joined with this one as well, unless that contradicts what is known already."""
    if claim.saga == saga_id or claim.saga in joins.refused:
        return joins
    for link in joins.links:
        if link.rank == claim.rank:
            return joins if link.saga == claim.saga else _refusing(joins, [claim.saga])
    return Joins(tuple(sorted((*joins.links, Link(claim.rank, claim.saga)))), joins.refused)


def _cut(joins: Joins, path: Sequence[str], saga_id: str) -> Joins:
    """Without what would hand it on in a circle; the least saga of one stays for itself."""
    if saga_id not in path:
        return joins
    circle = path[len(path) - 1 - path[::-1].index(saga_id) :]
    if saga_id != min(circle):
        return joins
    kept = tuple(link for link in joins.links if link.saga not in circle)
    return Joins(kept, _refusing(joins, [link.saga for link in joins.links if link.saga in circle]).refused)


def _refusing(joins: Joins, sagas: Iterable[str]) -> Joins:
    return Joins(joins.links, (*joins.refused, *sagas)[:REFUSED_MAX])


def _paths(paths: Iterable[Sequence[str]], saga_id: str) -> list[HandedOn]:
    ways = sorted({(*path, saga_id)[-PATH_MAX:] for path in paths}) or [(saga_id,)]
    return [HandedOn(way) for way in ways]


def _joined(saga: Saga, other: str, wall_ms: int) -> Lifecycle:
    """Who was told that it started is told where it went."""
    assert saga.course is not None
    flow, version = saga.course.flow, saga.course.flow_version
    place = derived_id(saga.id, "tracker.joined.", 0)
    return Lifecycle(place, saga.id, "", flow, version, "joined", wall_ms, reason=other)


def _contradiction(saga_id: str, joins: Joins, other: str, wall_ms: int) -> Alert:
    belongs = f"it belongs to {joins.links[0].saga}" if joins.links else "it stays for itself"
    message = (
        f"{saga_id} is also joined with {other}, which contradicts what was known before: {belongs}. A value "
        "of a key goes with one value of each earlier key: look whether the records or the rules are wrong"
    )
    alert_id = derived_id(saga_id, f"tracker.alert.contradiction.{other}", 0)
    return Alert(alert_id, saga_id, "", "", 0, "contradiction", wall_ms, message)
