"""An effect as the record it becomes: a CloudEvent in binary mode, like every event of the services.

The data of lifecycle events, alerts and answers are the effects themselves as JSON; their JSON
Schemas are published under docs/json. What is said of paused sagas is no event but a state: a record
with the saga for its key, and none once it goes on.
"""

from typing import NamedTuple, assert_never

from msgspec import Struct, json

from saga.core.envelope import Envelope
from saga.core.pause import PAUSED_TOPIC, PausedSaga
from tracker.core.command import Command
from tracker.core.effect import (
    ALERTS_TOPIC,
    ANSWERS_TOPIC,
    LIFECYCLE_TOPIC,
    Alert,
    Announced,
    Hold,
    Lifecycle,
    Publish,
    Reply,
)

SOURCE = "tracker"
"""The source of all of them, named as services name themselves."""


class Written(NamedTuple):
    """A record to be written."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


_encode = json.Encoder().encode
_JSON_HEADERS = [("content-type", b"application/json")]


def cloud_event(effect: Announced) -> Written:
    """The record to be written. Its key is that of the saga, or of what else an alert is about, so that all
    that is told of it keeps its order.
    """
    # An alert about no saga is a saga of its own: every event has to belong to one.
    saga = effect.saga or effect.id
    cause: str | None = None
    key = saga
    value: bytes | None = None
    match effect:
        case Hold():
            paused = PausedSaga(effect.by, effect.reason, effect.at_ms)
            return Written(
                PAUSED_TOPIC, saga.encode(), None if effect.released else _encode(paused), _JSON_HEADERS
            )
        case Lifecycle():
            name = f"saga.{effect.stage}"
        case Alert():
            name = f"saga.alert.{effect.cause}"
            if not effect.saga and effect.key:
                key = f"{effect.flow} {effect.key}".strip()
        case Publish():
            name, cause, key, value = effect.type, effect.cause or None, effect.key or saga, effect.data
        case Reply():
            name = "saga.command.accepted" if effect.accepted else "saga.command.refused"
            cause = effect.command
        case _:
            assert_never(effect)
    envelope = Envelope(effect.id, name, SOURCE, saga, effect.at_ms, cause)
    return Written(
        topic_of(effect), key.encode(), _encode(effect) if value is None else value, envelope.headers()
    )


def topic_of(effect: Announced) -> str:
    """Where it is written to."""
    return _TOPICS[type(effect)] if not isinstance(effect, Publish) else effect.topic


_TOPICS = {Lifecycle: LIFECYCLE_TOPIC, Alert: ALERTS_TOPIC, Reply: ANSWERS_TOPIC, Hold: PAUSED_TOPIC}


def json_schemas() -> dict[str, dict[str, object]]:
    """The published JSON Schemas, by file name."""
    return {
        "command.schema.json": _schema(Command),
        "lifecycle.schema.json": _schema(Lifecycle),
        "alert.schema.json": _schema(Alert),
        "answer.schema.json": _schema(Reply),
    }


def _schema(of: type[Struct]) -> dict[str, object]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **json.schema(of)}
