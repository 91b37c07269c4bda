"""Lives of sagas, as the changelog has them: the bytes of each after every one of its updates.

A few hundred are played by the tracker's core, with receipts, failures, deadlines and compensations. All
others are copies of these with ids, keys and times of their own: a million is made in a minute.
"""

import random
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from saga.core.receipt import Failure, Outcome, Publication, ServiceAnnouncement, Subscription
from tracker.core.advance import World, advance
from tracker.core.cloudevent import SOURCE
from tracker.core.compensation import command_id
from tracker.core.effect import Publish
from tracker.core.flow import Flow, Flows
from tracker.core.frame import EventSeen, Fact, ReceiptSeen
from tracker.core.saga import Saga, encode_saga
from tracker.core.subscriptions import Subscriptions
from tracker.flow.parse import parse
from tracker.view.known import Known

PLAYED = 400
BEGUN_MS = 1_760_011_200_000
"""When those that are played begin; multiples of a millisecond are added for the copies."""

DAY_MS = 86_400_000
SEED = 20_251_009

NAMES = ("order", "rental", "voucher")
WAY = (
    ("orders", "{}.placed"),
    ("inventory", "{}.reserved"),
    ("payments", "{}.charged"),
    ("shipping", "{}.packed"),
    ("shipping", "{}.dispatched"),
    ("carrier", "{}.arrived"),
    ("shipping", "{}.delivered"),
    ("orders", "{}.closed"),
)
"""Services, and the types they publish, each because of the one before."""

LEFT_OUT = {"order": (), "rental": (3, 5), "voucher": (1, 3, 5)}
"""By name the places of the way that its sagas do not have: they are of eight, six and five events."""

UNDOS = (("inventory", "release", "released"), ("payments", "refund", "refunded"))

FLOW = """
flow: {0}
version: {1}
begins: {0}.placed
ends: {{completed: {0}.closed, failed: {0}.cancelled}}
events:
  {0}.reserved: {{by: inventory, undo: {0}.release, undone: {0}.released}}
  {0}.charged: {{by: payments, undo: {0}.refund, undone: {0}.refunded}}
  {0}.dispatched: {{by: shipping, pivot: true}}
sla:
  - {{name: charge-fast, from: {0}.reserved, to: {0}.charged, within: 30s, warn_at: 80%}}
  - {{name: in-all, within: 1h, warn_at: 50m}}
compensate:
  when: [{{event: {0}.declined}}]
  then: {0}.cancelled
"""
ERRORS = (
    ("payments", "TimeoutError", "no answer from the bank within 5 s"),
    ("payments", "Declined", "card of customer {} is not covered"),
    ("shipping", "NoStreet", "no such street in {}"),
    ("inventory", "ConnectionError", "warehouse {} does not answer"),
)
_ID = b"01999999-9999-7999-8999-%012d"
_KEY = b"o-%010d"
# A time as MessagePack has it: 64 bits, of the years around now.
_TIME = re.compile(rb"\xcf\x00\x00\x01[\x98-\xa0]....", re.DOTALL)


class Life(NamedTuple):
    """The bytes of a saga after each of its updates; all of one length but for what it gains."""

    id: bytes
    key: bytes
    updates: tuple[bytes, ...]


@cache
def known() -> Known:
    """The services and the flows of these sagas."""
    subscribed: dict[str, list[Subscription]] = {}
    published: dict[str, list[Publication]] = {}
    for name in NAMES:
        for (_, cause), (service, effect) in pairwise(_way(name)):
            subscribed.setdefault(service, []).append(Subscription(cause.format(name), service, effect))
        for number, (service, effect) in enumerate(_way(name)):
            handler = effect if number else ""
            published.setdefault(service, []).append(Publication(effect.format(name), service, handler))
        for service, command, confirmed in (
            ("inventory", "release", "released"),
            ("payments", "refund", "refunded"),
        ):
            subscribed[service].append(Subscription(f"{name}.{command}", service, command))
            published[service].append(Publication(f"{name}.{confirmed}", service, command))
        published["payments"].append(Publication(f"{name}.declined", "payments", WAY[2][1]))
        published["orders"].append(Publication(f"{name}.cancelled", "orders", ""))
    announced = [
        ServiceAnnouncement(name, subscribed.get(name, []), published.get(name, [])) for name in published
    ]
    flows = [_flow(name, version) for name in NAMES[:2] for version in (1, 2)]
    return Known(Subscriptions(announced), Flows(tuple(flows)), tuple(announced))


def _way(name: str) -> list[tuple[str, str]]:
    return [step for place, step in enumerate(WAY) if place not in LEFT_OUT[name]]


def _flow(name: str, version: int) -> Flow:
    flow = parse(FLOW.format(name, version)).flow
    assert flow is not None
    return flow


@cache
def played() -> tuple[Life, ...]:
    """Those that the core of the tracker has played."""
    chance = random.Random(SEED)
    return tuple(_played(number, chance) for number in range(PLAYED))


def copy(value: bytes, life: Life, number: int, later_ms: int) -> bytes:
    """The bytes of a life as those of another saga, that began so much later."""

    def later(found: re.Match[bytes]) -> bytes:
        return b"\xcf" + (int.from_bytes(found[0][1:], "big") + later_ms).to_bytes(8, "big")

    return _TIME.sub(later, value).replace(life.id, _ID % number).replace(life.key, _KEY % number)


def saga_id(number: int) -> bytes:
    return _ID % number


def updates(
    sagas: int, apart: int, first: int = 0, later_ms: int = 0, every_ms: int = 1
) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each update of so many sagas, `apart` sagas between two updates of one.

    Their numbers begin with `first`; the first of them begins `later_ms` after `BEGUN_MS`.
    """
    lives = played()
    longest = max(len(life.updates) for life in lives)
    for tick in range(sagas + apart * longest):
        for turn in range(longest):
            number = tick - turn * apart
            if 0 <= number < sagas:
                life = lives[number % PLAYED]
                if turn < len(life.updates):
                    value = copy(life.updates[turn], life, first + number, later_ms + number * every_ms)
                    yield saga_id(first + number), value


def newest(sagas: int, over_ms: int, later_ms: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of so many sagas as they stand; they begin within so many milliseconds.

    The first of them begins `later_ms` after `BEGUN_MS`.
    """
    lives = played()
    for number in range(sagas):
        life = lives[number * 7919 % PLAYED]
        yield saga_id(number), copy(life.updates[-1], life, number, later_ms + number * over_ms // sagas)


def _played(number: int, chance: random.Random) -> Life:
    name, version = chance.choice(NAMES), chance.choice((1, 2, 2, 2))
    flows = () if name == NAMES[2] else (_flow(name, version),)
    world = World(Flows(flows), known().subscriptions, BEGUN_MS)
    id_, key = _ID % number, _KEY % number
    found: list[bytes] = []
    saga: Saga | None = None
    for facts, at_ms in _told(id_.decode(), key.decode(), name, chance):
        todo = facts
        while todo:
            after, effects = advance(saga, id_.decode(), todo, at_ms, world)
            assert after is not None
            if after is not saga:
                saga = after
                found.append(encode_saga(saga))
            todo = [_published(effect) for effect in effects if isinstance(effect, Publish)]
    return Life(id_, key, tuple(found))


def _published(command: Publish) -> EventSeen:
    """What the tracker publishes, as the collector reads it."""
    told = command.topic, 0, 0, command.at_ms, command.cause, command.key, 1
    return EventSeen(command.id, command.type, SOURCE, *told)


def _told(id_: str, key: str, name: str, chance: random.Random) -> Iterator[tuple[list[Fact], int]]:
    """Facts in the batches in which the tracker gets them, and its time."""
    way = _way(name)
    length = len(way)
    fate = chance.random()
    cut = chance.randint(1, length - 1) if fate < 0.1 else length
    declined = 0.1 <= fate < 0.18 and name != NAMES[-1]
    erring = chance.random() < 0.15
    at_ms = BEGUN_MS + chance.randint(0, 5_000)
    waiting: list[Fact] = []
    for number, (service, pattern) in enumerate(way[:cut]):
        if declined and number == 2:
            pattern = "{}.declined"
        event_id = f"{id_}-{number}" if number else id_
        cause = None if not number else (f"{id_}-{number - 1}" if number > 1 else id_)
        waiting.append(
            EventSeen(event_id, pattern.format(name), service, service, 0, number, at_ms, cause, key, 1)
        )
        goes_on = number + 1 < len(way) and not (declined and number == 2)
        if goes_on:
            waiting += _answers(event_id, way[number + 1][0], at_ms, number < cut - 1, erring, chance)
        if declined and number == 2:
            yield waiting, at_ms
            command = command_id(f"{id_}-1", f"{name}.release")
            confirmed = f"{id_}-undone", f"{name}.released", "inventory", "inventory"
            yield [EventSeen(*confirmed, 0, 9, at_ms + 50, command, key, 1)], at_ms + 60
            return
        if chance.random() < 0.5:
            yield waiting, at_ms + 50
            waiting = []
        at_ms += chance.choice((60, 200, 1_000, 20_000, 40_000))
    if waiting:
        yield waiting, at_ms + 50
    if cut < length and chance.random() < 0.5:
        yield [], at_ms + 2 * 3_600_000


def _answers(
    event_id: str, service: str, at_ms: int, goes_on: bool, erring: bool, chance: random.Random
) -> Iterator[Fact]:
    error = next((told for told in chance.sample(ERRORS, len(ERRORS)) if erring and told[0] == service), None)
    if error is not None:
        failure = Failure(error[1], error[2].format(chance.randint(1, 50)))
        yield _receipt(event_id, service, "retrying", at_ms + 5, 1, failure)
    if goes_on:
        yield _receipt(event_id, service, "handled", at_ms + 40, 2 if error else 1)


def _receipt(
    event_id: str, service: str, outcome: Outcome, at_ms: int, attempt: int, failure: Failure | None = None
) -> ReceiptSeen:
    retry_at_ms = at_ms + 10_000 if outcome == "retrying" else None
    return ReceiptSeen(
        event_id, service, "i-1", "handle", outcome, at_ms, 30.0, attempt, failure, retry_at_ms
    )
