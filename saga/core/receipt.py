"""Receipts: what handlers did with events, and what services announce of themselves.

Both are JSON on Kafka so that a service in any language can send them; their JSON Schemas are
published under docs/json and generated from these classes by `make schemas`.
"""

from typing import Any, Literal

from msgspec import Struct, json

RECEIPTS_TOPIC = "saga.receipts"
SERVICES_TOPIC = "saga.services"

Outcome = Literal["handled", "retrying", "dead-lettered", "ignored", "parked"]


class Failure(Struct, frozen=True, gc=False):
    """Why a handler failed: the exception's class and its message (1,000 characters at most)."""

    type: str
    message: str


class Receipt(Struct, frozen=True, omit_defaults=True, gc=False):
    """What one handler did with one event, in one attempt.

    Attributes
    ----------
    event : `ce_id` of the event; None when the record's headers could not be read.
    saga : its `ce_correlationid`; None likewise.
    handler : name of the function; "" when no handler was reached.
    at_ms : when the attempt began, milliseconds since the Unix epoch.
    duration_ms : how long it took.
    attempt : counted from 1.
    retry_at_ms : when the next attempt is due; only with the outcome `retrying`.
    """

    event: str | None
    saga: str | None
    type: str | None
    handler: str
    outcome: Outcome
    at_ms: int
    duration_ms: float
    topic: str
    partition: int
    offset: int
    attempt: int = 1
    failure: Failure | None = None
    retry_at_ms: int | None = None


class Receipts(Struct, frozen=True):
    """One record on `saga.receipts`: the receipts of one micro-batch of one service instance."""

    service: str
    instance: str
    receipts: list[Receipt]


class Subscription(Struct, frozen=True):
    """A service handles events of this type. `always`: with each it handles it publishes something."""

    type: str
    topic: str
    handler: str
    always: bool = False


class Publication(Struct, frozen=True):
    """A handler of the service may publish events of this type; "" stands for the service itself.

    `once`: no more than one for each event it handles.
    """

    type: str
    topic: str
    handler: str
    once: bool = False


class EventSchema(Struct, frozen=True):
    """What the data of an event consists of, as a JSON Schema.

    `"x-sensitive": true` in it marks a value that is masked wherever it is shown. Of an event that nobody
    announces so everything is.
    """

    type: str
    version: int
    schema: dict[str, Any]


class ServiceAnnouncement(Struct, frozen=True):
    """One record on the compacted topic `saga.services`, under the service's name as its key.

    `events` are those that it handles or publishes, each version once. `version` is that of the instance that
    was started last.
    """

    service: str
    subscribes: list[Subscription]
    publishes: list[Publication]
    guarantee: str = "exactly-once"
    description: str = ""
    events: list[EventSchema] = []
    version: str = ""


def json_schemas() -> dict[str, dict[str, object]]:
    """The published JSON Schemas, by file name."""
    return {"receipts.schema.json": _schema(Receipts), "service.schema.json": _schema(ServiceAnnouncement)}


def _schema(of: type[Struct]) -> dict[str, object]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **json.schema(of)}
