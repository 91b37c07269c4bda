"""An effect as the record it becomes: a CloudEvent in binary mode, like every event of the services.

The data of lifecycle events, alerts and answers are the effects themselves as JSON; their JSON
Schemas are published under docs/json.
"""

from typing import assert_never

from msgspec import Struct, json

from saga.core.envelope import Envelope
from saga.core.outcome import Output
from tracker.core.command import Command
from tracker.core.effect import (
    ALERTS_TOPIC,
    ANSWERS_TOPIC,
    LIFECYCLE_TOPIC,
    Alert,
    Effect,
    Lifecycle,
    Publish,
    Reply,
)

SOURCE = "tracker"
"""The source of all of them, named as services name themselves."""

_encode = json.Encoder().encode


def cloud_event(effect: Effect) -> Output:
    """The record to be written. Its key is that of the saga, so that all of a saga keep their order."""
    match effect:
        case Publish():
            envelope = _envelope(effect, effect.type, effect.cause or None)
            return _record(effect.topic, effect.key or effect.saga, effect.data, envelope)
        case Lifecycle():
            envelope = _envelope(effect, f"saga.{effect.stage}")
            return _record(LIFECYCLE_TOPIC, envelope.saga, _encode(effect), envelope)
        case Alert():
            envelope = _envelope(effect, f"saga.alert.{effect.cause}")
            return _record(ALERTS_TOPIC, envelope.saga, _encode(effect), envelope)
        case Reply():
            answer = "accepted" if effect.accepted else "refused"
            envelope = _envelope(effect, f"saga.command.{answer}", effect.command)
            return _record(ANSWERS_TOPIC, envelope.saga, _encode(effect), envelope)
        case _:
            assert_never(effect)


def json_schemas() -> dict[str, dict[str, object]]:
    """The published JSON Schemas, by file name."""
    return {
        "command.schema.json": _schema(Command),
        "lifecycle.schema.json": _schema(Lifecycle),
        "alert.schema.json": _schema(Alert),
        "answer.schema.json": _schema(Reply),
    }


def _envelope(effect: Effect, event_type: str, cause: str | None = None) -> Envelope:
    # An alert about no saga is a saga of its own: every event has to belong to one.
    return Envelope(effect.id, event_type, SOURCE, effect.saga or effect.id, effect.at_ms, cause)


def _record(topic: str, key: str, value: bytes, envelope: Envelope) -> Output:
    return Output(topic, key.encode(), value, envelope.headers())


def _schema(of: type[Struct]) -> dict[str, object]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **json.schema(of)}
