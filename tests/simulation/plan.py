"""What a seed means: sagas, faults and commands, all drawn beforehand. A plan is data, so it can shrink.

What is too small to stand in a plan, the milliseconds that a request takes, follows from the seed and the
name of the request (`jitter`): leaving something out of a plan changes as little as possible of the rest.
"""

from collections.abc import Collection, Iterator
from random import Random
from typing import Literal
from zlib import crc32

from msgspec import Struct, structs

from tracker.core.command import Action

FaultKind = Literal[
    "kill-tracker",
    "wipe-tracker",
    "stop-tracker",
    "pause-tracker",
    "kill-collector",
    "stop-collector",
    "pause-collector",
    "slow-source",
    "open-transaction",
    "refuse-effects",
    "no-effects",
    "no-changelog",
    "no-frames",
    "lose-fetch",
    "pause-service",
    "compact",
]

LEAVING_TRACKERS_ALONE: tuple[FaultKind, ...] = (
    "kill-collector",
    "stop-collector",
    "pause-collector",
    "slow-source",
    "open-transaction",
    "no-frames",
    "pause-service",
    "compact",
)
"""With these alone a tracker decides everything once."""

SERVICES = ("orders", "inventory", "payments", "shipping")
BANK_TOPIC = "bank"
"""Records without our headers, which name what they are about by one or several of `BANK_KEYS`."""
BANK_KEYS = ("order", "payment", "refund")

SOURCES = (*SERVICES, "saga.receipts", "saga.commands", BANK_TOPIC)
SOURCE_PARTITIONS = 2

Way = Literal["plain", "transaction", "aborted-first"]
Answer = Literal["obey", "twice", "fail-once", "miss-once", "fail-always", "never"]


class SagaPlan(Struct, frozen=True):
    """How the services deal with one order. Delays are milliseconds from cause to effect, -1 for never.

    Attributes
    ----------
    charge, ship : what payments and shipping make of it: an event type, or "dead-letter".
    way : how events are published.
    copies : so often each event is published.
    lag_ms : from an event's timestamp until it stands in its topic.
    undo_ms, answers : how inventory and payments deal with commands.
    echo_ms : so long after its begin the first event is published once more, as it was; -1 for never.
    parent : the saga whose stock.reserved has begun this one, "" for none.
    """

    name: str
    at_ms: int
    reserve_ms: int
    charge_ms: int
    ship_ms: int
    charge: str
    ship: str
    way: Way
    copies: int
    lag_ms: int
    undo_ms: int
    answers: tuple[Answer, Answer]
    echo_ms: int = -1
    parent: str = ""


class Fault(Struct, frozen=True):
    """Something that goes wrong. `who`: the number of a process or source; `steps`: so many steps later."""

    at_ms: int
    kind: FaultKind
    who: int
    for_ms: int
    steps: int = 0


class Order(Struct, frozen=True):
    """A command of an operator, whose clock is so far behind."""

    at_ms: int
    saga: str
    action: Action
    copies: int = 1
    behind_ms: int = 0


class Booking(Struct, frozen=True):
    """A record of the bank. `deal`: the value of all keys in `keys`."""

    at_ms: int
    deal: int
    keys: tuple[str, ...]


class Plan(Struct, frozen=True):
    """Everything that happens from outside. `skews_ms`: by service, how far its clock is ahead.

    `standby`: trackers follow the partitions of the others. `kept_ms`: how long sagas are kept that have
    ended, -1 for a week. `failures_pause`: the flow file pauses a saga when a service gives an event up.
    """

    seed: int
    trackers: int
    collectors: int
    partitions: int
    parallel: bool
    breach_compensates: bool
    poll_records: int
    skews_ms: tuple[int, ...]
    sagas: tuple[SagaPlan, ...]
    faults: tuple[Fault, ...]
    orders: tuple[Order, ...]
    standby: bool = False
    kept_ms: int = -1
    bookings: tuple[Booking, ...] = ()
    failures_pause: bool = False


WITHIN_MS = 6_000
CHARGE_WITHIN_MS = 2_000
UNDO_WITHIN_MS = 1_500
UNDO_ATTEMPTS = 2
DELAY_MS = 200
SESSION_MS = 3_000
SOURCE_GONE_MS = 8_000
SILENT_MORE_MS = 3_000
"""Sagas that have not ended are kept so much longer than those that have."""


def jitter(seed: int, name: str, below: int) -> int:
    """A number from 0 that follows from seed and name."""
    return crc32(f"{seed} {name}".encode()) % below


def plan(seed: int, kinds: Collection[FaultKind] = ()) -> Plan:
    """The plan of a seed, with faults of these kinds only if there are any given."""
    chance = Random(seed)
    sagas = tuple(_saga(chance, number) for number in range(chance.randint(2, 9)))
    trackers = chance.choice((1, 1, 2, 2, 3))
    collectors = chance.choice((1, 1, 2))
    sagas = _children(Random(f"{seed} children"), sagas)
    kept_ms, sagas = _retention(Random(f"{seed} retention"), sagas)
    count = chance.choice((0, 1, 2, 3, 4, 6, 8))
    faults = tuple(_fault(chance, trackers, collectors, kinds) for _ in range(count))
    orders = [_order(chance, sagas) for _ in range(chance.choice((0, 0, 1, 2, 4)))]
    orders += _pauses(Random(f"{seed} pauses"), sagas)
    failures = Random(f"{seed} failures")
    failures_pause = failures.random() < 0.25
    if failures_pause:
        orders += _resumes(failures, sagas)
    skewed = chance.random() < 0.3
    skews = tuple(chance.choice((-3_000, -100, 0, 50, 4_000)) if skewed else 0 for _ in SERVICES)
    return Plan(
        seed,
        trackers,
        collectors,
        chance.choice((1, 2, 3)),
        chance.random() < 0.3,
        chance.random() < 0.4,
        chance.choice((1, 3, 100)),
        skews,
        sagas,
        tuple(sorted(faults, key=lambda fault: fault.at_ms)),
        tuple(sorted(orders, key=lambda order: order.at_ms)),
        standby=chance.random() < 0.3,
        kept_ms=kept_ms,
        bookings=tuple(_bookings(Random(f"{seed} bookings"))),
        failures_pause=failures_pause,
    )


def _bookings(chance: Random) -> Iterator[Booking]:
    """Some deals with a bank, of which it tells in any order and by any of their keys."""
    for deal in range(chance.choice((0, 0, 1, 2))):
        first_ms = chance.randint(500, 9_000)
        for _ in range(chance.randint(2, 6)):
            keys = chance.sample(BANK_KEYS, chance.choice((1, 1, 2, 3)))
            ordered = tuple(key for key in BANK_KEYS if key in keys)
            yield Booking(first_ms + chance.choice((0, 1, chance.randint(0, 4_000))), deal, ordered)


def _children(chance: Random, sagas: tuple[SagaPlan, ...]) -> tuple[SagaPlan, ...]:
    """In some plans sagas begin others; by clocks that differ a child may even be older than its parent."""
    if chance.random() < 0.6:
        return sagas
    found = list(sagas)
    for index in range(1, len(found)):
        if chance.random() < 0.5:
            parent = chance.choice(found[:index])
            at_ms = parent.at_ms + chance.randint(-100, 3_000)
            found[index] = structs.replace(found[index], at_ms=at_ms, parent=parent.name)
    return tuple(found)


def _retention(chance: Random, sagas: tuple[SagaPlan, ...]) -> tuple[int, tuple[SagaPlan, ...]]:
    """Now and then sagas leave soon, and what has begun them is told again about then, or later."""
    if chance.random() < 0.85:
        return -1, sagas
    echoes_ms = (-1, -1, chance.randint(20_000, 45_000), chance.randint(45_000, 60_000))
    # Longer than anything is held up: what is old when it is read begins nothing.
    return chance.choice((15_000, 18_000)), tuple(
        structs.replace(saga, echo_ms=chance.choice(echoes_ms)) for saga in sagas
    )


def _saga(chance: Random, number: int) -> SagaPlan:
    return SagaPlan(
        f"saga-{number}",
        chance.randint(500, 9_000),
        _delay(chance, WITHIN_MS),
        _delay(chance, CHARGE_WITHIN_MS),
        _delay(chance, WITHIN_MS),
        chance.choices(("payment.charged", "payment.declined", "dead-letter"), (6, 2, 1))[0],
        chance.choices(("parcel.dispatched", "parcel.lost", "dead-letter"), (6, 3, 1))[0],
        chance.choices(("plain", "transaction", "aborted-first"), (3, 2, 1))[0],
        chance.choices((1, 2), (5, 1))[0],
        chance.choice((0, 0, 20, 100, 190)),
        chance.choice((30, 30, 200, 1_400, 2_000)),
        (_answer(chance), _answer(chance)),
    )


def _delay(chance: Random, deadline_ms: int) -> int:
    """Mostly at once, now and then close to a deadline, or never."""
    draw = chance.random()
    if draw < 0.6:
        return chance.randint(5, 300)
    if draw < 0.9:
        return deadline_ms + chance.randint(-250, 250)
    return -1


def _answer(chance: Random) -> Answer:
    answers: tuple[Answer, ...] = ("obey", "twice", "fail-once", "miss-once", "fail-always", "never")
    return chance.choices(answers, (10, 2, 2, 2, 1, 1))[0]


_FAULTS: tuple[tuple[FaultKind, int], ...] = (
    ("kill-tracker", 5),
    ("wipe-tracker", 3),
    ("stop-tracker", 2),
    ("pause-tracker", 5),
    ("kill-collector", 3),
    ("stop-collector", 1),
    ("pause-collector", 3),
    ("slow-source", 2),
    ("open-transaction", 2),
    ("refuse-effects", 1),
    ("no-effects", 2),
    ("no-changelog", 2),
    ("no-frames", 1),
    ("lose-fetch", 2),
    ("pause-service", 2),
    ("compact", 2),
)


def _fault(chance: Random, trackers: int, collectors: int, kinds: Collection[FaultKind]) -> Fault:
    possible = {kind: weight for kind, weight in _FAULTS if not kinds or kind in kinds}
    kind = chance.choices([*possible], [*possible.values()])[0]
    if kind.endswith("-tracker"):
        who = chance.randrange(trackers)
    elif kind.endswith("-collector"):
        who = chance.randrange(collectors)
    elif kind == "pause-service":
        who = chance.randrange(len(SERVICES))
    else:
        who = chance.randrange(len(SOURCES) * SOURCE_PARTITIONS)
    for_ms = chance.choice((50, 500, 2_000, 4_000, 7_000))
    return Fault(chance.randint(300, 14_000), kind, who, for_ms, chance.choice((0, 0, 1, 2, 3, 5, 8, 13, 21)))


def _order(chance: Random, sagas: tuple[SagaPlan, ...]) -> Order:
    saga = chance.choice(sagas)
    actions: tuple[Action, ...] = ("cancel", "compensate", "retry", "skip", "done", "note")
    action = chance.choice(actions)
    at_ms = saga.at_ms + chance.randint(-500, 12_000)
    return Order(max(100, at_ms), saga.name, action, chance.choice((1, 1, 2)))


def _resumes(chance: Random, sagas: tuple[SagaPlan, ...]) -> Iterator[Order]:
    """Most of those that have failed are looked at, sooner or later."""
    for saga in sagas:
        if "dead-letter" in (saga.charge, saga.ship) and chance.random() < 0.7:
            yield Order(saga.at_ms + chance.randint(500, 12_000), saga.name, "resume")


def _pauses(chance: Random, sagas: tuple[SagaPlan, ...]) -> Iterator[Order]:
    """Some sagas are paused, and mostly go on again."""
    for _ in range(chance.choice((0, 0, 1, 2))):
        saga = chance.choice(sagas)
        at_ms = max(100, saga.at_ms + chance.randint(-200, 9_000))
        behind_ms = chance.choice((0, 0, 0, 300, 3_000))
        yield Order(at_ms, saga.name, "pause", chance.choice((1, 1, 2)), behind_ms)
        for_ms = chance.choice((-1, 50, 500, 2_000, 2_000, 4_000, 7_000))
        if for_ms > 0:
            yield Order(at_ms + for_ms, saga.name, "resume", 1, behind_ms)
