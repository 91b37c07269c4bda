"""Facts by hand, for tests: an event, a receipt, and an order that went wrong in every way."""

from saga.core.receipt import Failure, Outcome, ServiceAnnouncement, Subscription
from tracker.core.frame import EventSeen, Observation, ReceiptSeen

NOON_MS = 1_760_011_200_000  # 2025-10-09 12:00:00 UTC


def event(
    event_id: str,
    event_type: str,
    *,
    after_ms: int = 0,
    cause: str | None = None,
    source: str = "orders",
    key: str | None = "o-1042",
    topic: str = "orders",
    offset: int = 0,
) -> EventSeen:
    """An event, `after_ms` milliseconds after `NOON_MS`."""
    return EventSeen(event_id, event_type, source, topic, 0, offset, NOON_MS + after_ms, cause, key, 1)


def receipt(
    event_id: str,
    service: str,
    outcome: Outcome = "handled",
    *,
    after_ms: int = 0,
    took_ms: float = 10,
    attempt: int = 1,
    error: str | None = None,
    message: str = "",
    retry_after_ms: int | None = None,
    handler: str = "handle",
) -> ReceiptSeen:
    """A receipt for an attempt that began `after_ms` after `NOON_MS`."""
    return ReceiptSeen(
        event_id,
        service,
        "instance-1",
        handler,
        outcome,
        NOON_MS + after_ms,
        took_ms,
        attempt,
        None if error is None else Failure(error, message),
        None if retry_after_ms is None else NOON_MS + retry_after_ms,
    )


def announcement(service: str, *types: str) -> ServiceAnnouncement:
    """The service says that it handles these types."""
    return ServiceAnnouncement(service, [Subscription(name, "any", "handle") for name in types], [])


SERVICES = [
    announcement("inventory", "order.placed"),
    announcement("payments", "stock.reserved"),
    announcement("shipping", "payment.charged"),
    announcement("orders", "payment.declined"),
]

PLACED: list[Observation] = [event("e1", "order.placed"), receipt("e1", "inventory", after_ms=2, took_ms=12)]
RESERVED: list[Observation] = [
    event("e2", "stock.reserved", after_ms=14, cause="e1", source="inventory", offset=1),
    receipt(
        "e2",
        "payments",
        "retrying",
        after_ms=20,
        error="Timeout",
        message="no answer",
        retry_after_ms=1_020,
    ),
]
CHARGED: list[Observation] = [
    receipt("e2", "payments", after_ms=1_020, took_ms=38, attempt=2),
    event("e3", "payment.charged", after_ms=1_058, cause="e2", source="payments", offset=2),
]
DISPATCHED: list[Observation] = [
    receipt("e3", "shipping", after_ms=1_100, took_ms=5),
    event("e4", "parcel.dispatched", after_ms=1_105, cause="e3", source="shipping", offset=3),
]
GIVEN_UP: list[Observation] = [
    receipt(
        "e3",
        "shipping",
        "dead-lettered",
        after_ms=1_100,
        took_ms=5,
        attempt=5,
        error="NoStreet",
        message="no such street",
    ),
]
