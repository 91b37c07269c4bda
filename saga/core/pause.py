"""Paused sagas: what the tracker says of them on `saga.paused`, and where services park their events.

Both topics are compacted and have one partition: what they hold is what is paused, and what is parked.
"""

from msgspec import Struct, json

PAUSED_TOPIC = "saga.paused"
"""Key: the id of the saga; value: `PausedSaga` as JSON, or null once it goes on."""

COMPACTED = {"cleanup.policy": "compact"}


class PausedSaga(Struct, frozen=True, gc=False):
    """A saga whose events are to be left alone: who asked for that, why, and since when.

    `at_ms` is in milliseconds since the Unix epoch.
    """

    by: str
    reason: str
    at_ms: int


def parked_topic(service: str) -> str:
    """Where this service parks events of paused sagas: `saga.parked.payments`."""
    return f"saga.parked.{service}"


def json_schemas() -> dict[str, dict[str, object]]:
    """The published JSON Schemas, by file name."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **json.schema(PausedSaga)}
    return {"paused.schema.json": schema}
