"""What a shop has beside its orders: alerts, dead letters, an audit log."""

import random
from collections.abc import Iterator, Sequence

from msgspec import json
from sqlalchemy import Engine

from tests import play
from tests.browser.population import EVIL_KEY, KNOWN
from tests.facts import NOON_MS
from tracker.core.audit import AuditRecord, Outcome
from tracker.core.contract.standstill import RAISED, Spot
from tracker.core.effect import Alert, Cause
from tracker.core.saga import Saga
from tracker.view.known import Known
from tracker.view.model.feeds import FeedRecord, set_places, write_feed

DEAD_LETTERS = "saga.dlq.payments"
SHOP = Known(KNOWN.subscriptions, KNOWN.flows, tuple(play.announcements()))

_ERRORS = (
    ("payments.errors.BankTimeout", "the bank did not answer within 100 ms"),
    ("pydantic_core.ValidationError", f"amount: {EVIL_KEY} is no number"),
    ("payments.errors.CardUnknown", "the card 4000 **** **** 0002 is not known here"),
)
_SAID: tuple[tuple[Cause, str], ...] = (
    ("breach", "payment.charged did not come within 5 s of stock.reserved"),
    ("warning", "in-all is due in 12 s"),
    ("stuck", "the undo of payment.charged failed 3 times: an operator has to look"),
    ("contradiction", f"parcel.dispatched came after parcel.lost {EVIL_KEY}"),
)
_DONE: tuple[tuple[str, str, str, Outcome], ...] = (
    ("saga.cancel", "operator", "the customer has called", "allowed"),
    ("sign-in", "viewer", "password", "allowed"),
    ("job.redrive", "viewer", EVIL_KEY, "refused"),
    ("token.create", "admin", "for the nightly report", "allowed"),
)


def write_incidents(engine: Engine, sagas: Sequence[Saga], seed: int = 7) -> None:
    """Write them as the projector does, each a while before noon."""
    chance = random.Random(seed)
    feeds = {
        "saga.alerts": list(_alerts(sagas, chance)),
        "saga.audit": list(_audit(sagas, chance)),
        DEAD_LETTERS: list(_letters(sagas, chance)),
    }
    with engine.begin() as connection:
        set_places(connection, "cluster-1", {(topic, 0): 0 for topic in feeds})
        for topic, records in feeds.items():
            write_feed(connection, topic, records, {0: (0, len(records))})


def _alerts(sagas: Sequence[Saga], chance: random.Random) -> Iterator[FeedRecord]:
    for number in range(120):
        cause, message = _SAID[number % len(_SAID)]
        saga, at_ms = chance.choice(sagas), NOON_MS - (120 - number) * 41_000
        rule = "charge-fast" if cause == "breach" else "in-all" if cause == "warning" else ""
        alert = Alert(f"a-{number:04}", saga.id, f"o-{number}", "order", 1, cause, at_ms, message, rule)
        yield _record("saga.alerts", number, at_ms, json.encode(alert))
    spot = Spot("order", "stock.reserved", "payments")
    still = (
        "42 sagas stand still: payments did not answer stock.reserved as soon as usual, the first for 95 s"
    )
    at_ms = NOON_MS - 61_000
    told = Alert("a-still", "", spot.key, spot.flow, 0, RAISED, at_ms, still)
    yield _record("saga.alerts", 120, at_ms, json.encode(told))


def _audit(sagas: Sequence[Saga], chance: random.Random) -> Iterator[FeedRecord]:
    for number in range(60):
        action, role, reason, outcome = _DONE[number % len(_DONE)]
        about = chance.choice(sagas).id if action.startswith("saga.") else f"7a0{number:02} nightly"
        at_ms = NOON_MS - (60 - number) * 127_000
        told = AuditRecord(
            f"r-{number:04}", at_ms, f"{role}-{number % 3}", role, action, about, reason, "10.1.2.3", outcome
        )
        yield _record("saga.audit", number, at_ms, json.encode(told))


def _letters(sagas: Sequence[Saga], chance: random.Random) -> Iterator[FeedRecord]:
    for number in range(140):
        error, message = chance.choices(_ERRORS, (9, 3, 1))[0]
        type_ = "payment.refund" if number % 9 == 0 else "stock.reserved"
        headers = {
            "ce_id": f"e-{number}",
            "ce_type": type_,
            "ce_source": "inventory",
            "ce_correlationid": chance.choice(sagas).id,
            "__streams.errors.exception": error,
            "__streams.errors.message": message,
            "__streams.errors.stacktrace": "Traceback (most recent call last): …",
            "__streams.errors.topic": "inventory",
            "__streams.errors.partition": "0",
            "__streams.errors.offset": str(number),
            "saga_dlq_service": "payments",
            "saga_dlq_handler": "charge",
            "saga_dlq_attempts": "5",
        }
        told = tuple((name, text.encode()) for name, text in headers.items())
        yield _record(DEAD_LETTERS, number, NOON_MS - (140 - number) * 9_000, b'{"amount": 12}', told)


def _record(
    topic: str, offset: int, at_ms: int, value: bytes, headers: tuple[tuple[str, bytes | None], ...] = ()
) -> FeedRecord:
    return FeedRecord(topic, 0, offset, at_ms, b"k", value, headers)
