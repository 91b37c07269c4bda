"""Orders as a shop has them: made by the tracker's core, so that they are what it would have written."""

import random
from collections.abc import Iterator

from msgspec import structs

from saga.core.receipt import Outcome
from tests import play
from tests.facts import NOON_MS, receipt
from tests.play import CHARGE_FAST, IN_ALL, ORDER, Play, command_seen, published
from tracker.core.flow import Flows
from tracker.core.frame import EventSeen, Fact, ReceiptSeen
from tracker.core.saga import Saga
from tracker.view.known import Known

FLOW_FILE = """\
flow: order
version: 1
begins: order.placed
ends: {completed: parcel.dispatched, failed: order.cancelled}
events:
  stock.reserved:
    {by: inventory, undo: stock.release, undone: stock.released, undo_within: 1s, undo_attempts: 2}
  payment.charged:
    {by: payments, undo: payment.refund, undone: payment.refunded, undo_within: 1s, undo_attempts: 2}
sla:
  - {name: charge-fast, from: stock.reserved, to: payment.charged, within: 5s, warn_at: 80%}
  - {name: in-all, within: 60s, warn_at: 80%}
compensate:
  when: [{event: payment.declined}, {event: parcel.lost}]
  then: order.cancelled
"""
TIMED = structs.replace(ORDER, rules=(CHARGE_FAST, IN_ALL), source=FLOW_FILE)
KNOWN = Known(play.services(), Flows((TIMED,)))

KINDS = {
    "completed": 700,
    "declined": 90,
    "open": 60,
    "reserved": 50,
    "charged": 25,
    "retrying": 15,
    "late": 40,
    "lost": 8,
    "stuck": 3,
    "given up": 9,
}
"""What becomes of orders, and of how many in a thousand."""

EVIL_KEY = "<img src=x onerror='window.ran=1'>${`<script>window.ran=1</script>`}"
"""The business key of one of them: what comes from outside may be anything."""

_ENDED = ("completed", "declined", "late")
_DAY_MS = 11 * 3_600_000


def orders(count: int, seed: int = 7) -> Iterator[Saga]:
    """So many orders, the newest last; they ended on the morning before noon, or are under way at noon."""
    chance = random.Random(seed)
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=count)
    for number, kind in enumerate(kinds):
        ago_ms = round((count - number) / count * _DAY_MS) + 2_000
        if kind not in _ENDED:
            young = kind in ("open", "reserved", "charged")
            ago_ms = chance.randint(200, 4_000) if young else chance.randint(4_000, 90_000)
        key = EVIL_KEY if number == count // 2 else f"o-{1000 + number}"
        yield Order(key, f"0199c8a1-51e0-7d3c-9a1f-{number:012x}", -ago_ms, chance).of(kind)


class Order:
    """One order that began so many milliseconds after noon; before it, if below zero."""

    def __init__(self, key: str, saga_id: str, began: int, chance: random.Random) -> None:
        self._key, self._id = key, saga_id
        self._play = Play(TIMED)
        self._chance = chance
        self._times = [began + each for each in sorted(chance.sample(range(5, 900), 8))]

    def of(self, kind: str) -> Saga:
        """What became of it."""
        t = self._times
        self._tell(t[0], _from("orders", play.placed(t[0])))
        if kind != "open":
            self._handled("e1", "inventory", t[0] + 2, 3 + 9 * self._chance.random())
            self._tell(t[1], _from("inventory", play.reserved(t[1])))
        match kind:
            case "open" | "reserved":
                pass
            case "retrying":
                self._fail(3, gives_up=False)
            case "given up":
                self._fail(5, gives_up=True)
            case "declined":
                self._handled("e2", "payments", t[1] + 3, 41)
                self._tell(t[2], _from("payments", play.declined(t[2])))
                self._undo(t[3])
            case _:
                self._charged(kind)
        assert self._play.saga is not None
        return structs.replace(self._play.saga, id=self._id)

    def _charged(self, kind: str) -> None:
        t = self._times
        paid = t[1] + 7_000 if kind == "late" else t[2]
        if kind == "late":
            self._tell(t[1] + 5_500)
        self._handled("e2", "payments", t[1] + 3, paid - t[1] - 4)
        self._tell(paid, _from("payments", play.charged(paid)))
        if kind in ("completed", "late"):
            self._handled("e3", "shipping", paid + 3, 6 * self._chance.random() + 2)
            self._tell(paid + 40, _from("shipping", play.dispatched(paid + 40)))
        elif kind in ("lost", "stuck"):
            self._handled("e3", "shipping", t[3], 5)
            self._tell(t[4], _from("shipping", play.lost(t[4])))
            for command in published(self._play.effects):
                self._tell(t[5], command_seen(structs.replace(command, at_ms=NOON_MS + t[5])))
            for later in (1_100, 2_200, 3_400) if kind == "stuck" else ():
                self._tell(t[5] + later)

    def _fail(self, attempts: int, *, gives_up: bool) -> None:
        for attempt in range(1, attempts + 1):
            last = gives_up and attempt == attempts
            at = self._times[1] + 300 * attempt
            outcome: Outcome = "dead-lettered" if last else "retrying"
            fact = receipt(
                "e2", "payments", outcome, after_ms=at, took_ms=120, attempt=attempt,
                error="payments.errors.BankTimeout", message="the bank did not answer within 100 ms",
                retry_after_ms=None if last else at + 10_000,
            )  # fmt: skip
            self._tell(at, fact)

    def _undo(self, at: int) -> None:
        """The services do what the tracker asks for, until it asks for nothing more."""
        done = 0
        while len(commands := published(self._play.effects)) > done:
            command, done = commands[done], done + 1
            at += 12
            self._tell(at, command_seen(structs.replace(command, at_ms=NOON_MS + at)))
            if command.type == "stock.release":
                self._play.tell(receipt(command.id, "inventory", after_ms=at + 1, took_ms=4))
                at += 9
                self._tell(at, _from("inventory", play.undone(command, "stock.released", at)))

    def _handled(self, event: str, service: str, after: int, took_ms: float) -> None:
        self._tell(after, receipt(event, service, after_ms=after, took_ms=took_ms))

    def _tell(self, now: int, *facts: Fact) -> None:
        self._play.tell(*(self._own(fact) for fact in facts), now=now, wall=now)

    def _own(self, fact: Fact) -> Fact:
        """The same of this order: each has its own key, and ids."""
        if isinstance(fact, EventSeen) and fact.source != "tracker":
            id_, cause = self._name(fact.id), None if fact.cause is None else self._name(fact.cause)
            return structs.replace(fact, id=id_, cause=cause, key=self._key)
        return structs.replace(fact, event=self._name(fact.event)) if isinstance(fact, ReceiptSeen) else fact

    def _name(self, event_id: str) -> str:
        return f"{self._id[-12:]}-{event_id}" if event_id in ("e1", "e2", "e3", "e4", "e5") else event_id


def _from(source: str, seen: EventSeen) -> EventSeen:
    return structs.replace(seen, source=source, topic=source)
