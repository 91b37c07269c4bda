"""The services of a choreography: they publish events and receipts, obey commands, fail, pause, repeat.

Each acts on what it reads off the log, as its saga's plan says. They remember which commands they have
obeyed, by id, as the services of `saga` do, and park what they read of paused sagas: `obeyed` is what was
really done, for the auditor.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from msgspec import json

from saga.core.envelope import Envelope, rfc3339
from saga.core.partition import key_partition
from saga.core.pause import PAUSED_TOPIC
from saga.core.receipt import Publication, ServiceAnnouncement, Subscription
from tests.simulation.log import Log, Record, Transaction
from tests.simulation.loop import SimulatedLoop
from tests.simulation.plan import (
    BANK_TOPIC,
    SERVICES,
    SOURCE_PARTITIONS,
    Answer,
    Booking,
    Order,
    Plan,
    SagaPlan,
)

HANDLED = {
    "inventory": ("order.placed", "stock.release"),
    "payments": ("stock.reserved", "payment.refund"),
    "shipping": ("payment.charged",),
}
PUBLISHED = {
    "orders": ("order.placed", "order.cancelled"),
    "inventory": ("stock.reserved", "stock.released"),
    "payments": ("payment.charged", "payment.declined", "payment.refunded"),
    "shipping": ("parcel.dispatched", "parcel.lost"),
}
_CONFIRMED = {"stock.release": "stock.released", "payment.refund": "payment.refunded"}

_HOMES = {kind: name for name, kinds in PUBLISHED.items() for kind in kinds}
"""The topic of each event: that of who publishes it. Commands go to who obeys."""

ANNOUNCEMENTS = [
    ServiceAnnouncement(
        name,
        [Subscription(kind, _HOMES.get(kind, name), "handle") for kind in HANDLED.get(name, ())],
        [Publication(kind, name, "handle") for kind in PUBLISHED[name]],
    )
    for name in SERVICES
]


@dataclass
class Obeyed:
    """What the services did as they were told: by saga, how often each event was undone; who is paused."""

    undone: dict[str, Counter[str]] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)


class World:
    """Acts on the log. `busy` counts what is still to happen by itself."""

    def __init__(self, loop: SimulatedLoop, log: Log, plan: Plan) -> None:
        self._loop = loop
        self._log = log
        self._plan = plan
        self._sagas = {saga.name: saga for saga in plan.sagas}
        self._skew_ms = dict(zip(SERVICES, plan.skews_ms, strict=True))
        self._paused_until_ms: dict[str, int] = {}
        self._handled: set[tuple[str, str]] = set()
        self._deliveries: Counter[str] = Counter()
        self._parked: defaultdict[str, list[Record]] = defaultdict(list)
        self.obeyed = Obeyed()
        self.busy = 0
        for topic in SERVICES:
            for partition in log.topics[topic]:
                partition.listener = self._read
        for partition in log.topics[PAUSED_TOPIC]:
            partition.listener = self._hold
        for saga in plan.sagas:
            self._later(saga.at_ms, "orders", self._begin, saga)
        for number, order in enumerate(plan.orders):
            self._later(order.at_ms, "orders", self._command, order, number)
        for booking in plan.bookings:
            self._later(booking.at_ms, None, self._book, booking)

    def pause(self, service: str, for_ms: int) -> None:
        """A service does nothing until then, and then all of it."""
        self._paused_until_ms[service] = self._loop.now_ms + for_ms

    # What services do.

    def _begin(self, saga: SagaPlan) -> None:
        if saga.echo_ms >= 0:
            now_ms = self._loop.now_ms + self._skew_ms["orders"]
            self._later(saga.echo_ms, None, self._echo, saga, now_ms)
        self._publish(saga, "orders", "order.placed", f"{saga.name}/placed", None)

    def _echo(self, saga: SagaPlan, time_ms: int) -> None:
        """The first event once more, as when a topic is copied."""
        headers = _envelope(saga, "orders", "order.placed", f"{saga.name}/placed", time_ms, None).headers()
        self._append("orders", saga.name.encode(), _data(saga, "order.placed"), headers, time_ms, None)

    def _read(self, record: Record) -> None:
        """A service finds a record on a topic."""
        headers = dict(record.headers)
        event, kind = _text(headers["ce_id"]), _text(headers["ce_type"])
        name = _text(headers["ce_correlationid"])
        saga = self._sagas.get(name)
        if saga is None:
            return
        if name in self.obeyed.paused:
            self._park(saga, record, event, kind)
            return
        match kind:
            case "order.placed":
                self._handle(saga, "inventory", event, kind, saga.reserve_ms, "stock.reserved")
            case "stock.reserved":
                self._handle(saga, "payments", event, kind, saga.charge_ms, saga.charge)
            case "payment.charged":
                self._handle(saga, "shipping", event, kind, saga.ship_ms, saga.ship)
            case "stock.release":
                self._obey(saga, "inventory", event, kind, _text(headers["ce_causationid"]), saga.answers[0])
            case "payment.refund":
                self._obey(saga, "payments", event, kind, _text(headers["ce_causationid"]), saga.answers[1])

    def _hold(self, record: Record) -> None:
        """The tracker says that a saga is paused, or goes on: then all is read that was parked."""
        name = _text(record.key)
        if record.value is not None:
            self.obeyed.paused.add(name)
            return
        self.obeyed.paused.discard(name)
        for parked in self._parked.pop(name, ()):
            self._read(parked)

    def _park(self, saga: SagaPlan, record: Record, event: str, kind: str) -> None:
        for service, handled in HANDLED.items():
            if kind in handled:
                self._parked[saga.name].append(record)
                self._receipt(saga, service, event, kind, "parked", 1)

    def _handle(self, saga: SagaPlan, service: str, event: str, kind: str, delay_ms: int, makes: str) -> None:
        if delay_ms < 0 or (service, event) in self._handled:
            return
        self._handled.add((service, event))
        if makes == "dead-letter":
            self._later(delay_ms, service, self._receipt, saga, service, event, kind, "dead-lettered", 1)
        else:
            self._later(delay_ms, service, self._made, saga, service, event, kind, makes)

    def _made(self, saga: SagaPlan, service: str, event: str, kind: str, makes: str) -> None:
        self._publish(saga, service, makes, f"{saga.name}/{makes}", event)
        self._receipt(saga, service, event, kind, "handled", 1)

    def _obey(
        self, saga: SagaPlan, service: str, command: str, kind: str, event: str, answer: Answer
    ) -> None:
        self._deliveries[command] += 1
        delivery = self._deliveries[command]
        first = delivery == 1
        if answer == "never" or (answer == "miss-once" and first):
            return
        if answer == "fail-always" or (answer == "fail-once" and first):
            self._later(
                saga.undo_ms, service, self._receipt, saga, service, command, kind, "dead-lettered", delivery
            )
            return
        self._later(saga.undo_ms, service, self._undo, saga, service, command, kind, event, answer)

    def _undo(
        self, saga: SagaPlan, service: str, command: str, kind: str, event: str, answer: Answer
    ) -> None:
        if (service, command) in self._handled:
            return  # done already: whoever asks twice under one id gets it once
        self._handled.add((service, command))
        self.obeyed.undone.setdefault(saga.name, Counter())[event] += 1
        for _ in range(2 if answer == "twice" else 1):
            self._publish(saga, service, _CONFIRMED[kind], f"{command}/done", command)
        self._receipt(saga, service, command, kind, "handled", 1)

    def _book(self, booking: Booking) -> None:
        """The bank knows nothing of us: no headers, and any partition."""
        told = {"type": "bank.booked", **dict.fromkeys(booking.keys, booking.deal)}
        partition = self._log.partition(BANK_TOPIC, len(booking.keys) % SOURCE_PARTITIONS)
        partition.append(self._loop.now_ms, self._loop.now_ms, None, json.encode(told))

    def _command(self, order: Order, number: int) -> None:
        command = {
            "id": f"command-{number}",
            "saga": order.saga,
            "action": order.action,
            "by": "ada",
            "reason": "because",
            "at_ms": self._loop.now_ms - order.behind_ms,
        }
        value, key = json.encode(command), order.saga.encode()
        for _ in range(order.copies):
            self._append("saga.commands", key, value, [], self._loop.now_ms, None)

    # How they publish.

    def _publish(self, saga: SagaPlan, service: str, kind: str, event: str, cause: str | None) -> None:
        now_ms = self._loop.now_ms + self._skew_ms[service]
        headers = _envelope(saga, service, kind, event, now_ms, cause).headers()
        assert rfc3339(now_ms) in [value for _, value in headers]
        value = _data(saga, kind)
        way = saga.way
        for copy in range(saga.copies):
            lag_ms = saga.lag_ms + 40 * copy
            if way == "plain":
                self._append_later(lag_ms, service, saga, value, headers, now_ms, None)
                continue
            transaction = Transaction()
            self._append_later(lag_ms, service, saga, value, headers, now_ms, transaction)
            self._later(lag_ms + 60, None, self._end, transaction, way == "transaction")
            if way == "aborted-first":
                self._append_later(lag_ms + 70, service, saga, value, headers, now_ms, None)

    def _receipt(
        self, saga: SagaPlan, service: str, event: str, kind: str, outcome: str, attempt: int
    ) -> None:
        now_ms = self._loop.now_ms + self._skew_ms[service]
        receipt: dict[str, object] = {
            "event": event,
            "saga": saga.name,
            "type": kind,
            "handler": "handle",
            "outcome": outcome,
            "at_ms": now_ms,
            "duration_ms": 1,
            "topic": service,
            "partition": 0,
            "offset": 0,
            "attempt": attempt,
        }
        if outcome == "dead-lettered":
            receipt["failure"] = {"type": "Refused", "message": "no"}
        value = json.encode({"service": service, "instance": "i", "receipts": [receipt]})
        for _ in range(saga.copies):
            self._append("saga.receipts", saga.name.encode(), value, [], now_ms, None)

    def _append_later(
        self,
        lag_ms: int,
        topic: str,
        saga: SagaPlan,
        value: bytes,
        headers: list[tuple[str, bytes]],
        timestamp: int,
        transaction: Transaction | None,
    ) -> None:
        self._later(
            lag_ms, None, self._append, topic, saga.name.encode(), value, headers, timestamp, transaction
        )

    def _append(
        self,
        topic: str,
        key: bytes,
        value: bytes,
        headers: list[tuple[str, bytes]],
        timestamp: int,
        transaction: Transaction | None,
    ) -> None:
        partition = self._log.partition(topic, key_partition(key, SOURCE_PARTITIONS))
        partition.append(self._loop.now_ms, timestamp, key, value, headers, transaction)

    def _end(self, transaction: Transaction, commit: bool) -> None:
        self._log.end(transaction, self._loop.now_ms, commit=commit)

    def _later(self, delay_ms: int, service: str | None, act: object, *args: object) -> None:
        """Act then, or when the service goes on."""
        self.busy += 1
        self._loop.outside(delay_ms, self._act, service, act, args)

    def _act(self, service: str | None, act: object, args: tuple[object, ...]) -> None:
        assert callable(act)
        self.busy -= 1
        rest_ms = self._paused_until_ms.get(service or "", 0) - self._loop.now_ms
        if rest_ms > 0:
            self._later(rest_ms, service, act, *args)
        else:
            act(*args)


def _envelope(
    saga: SagaPlan, service: str, kind: str, event: str, time_ms: int, cause: str | None
) -> Envelope:
    if cause is None and saga.parent:
        cause = f"{saga.parent}/stock.reserved"
        return Envelope(event, kind, service, saga.name, time_ms, cause, parent=saga.parent)
    return Envelope(event, kind, service, saga.name, time_ms, cause)


def _data(saga: SagaPlan, kind: str) -> bytes:
    return json.encode({"order_id": saga.name, "about": kind})


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
