"""What the tracker publishes: CloudEvents like those of any service, with data that fit their schemas."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from msgspec import json

from saga.core.envelope import Envelope, read_envelope
from tests.facts import NOON_MS
from tracker.cli.schemas import schema_texts, write_schemas
from tracker.core.cloudevent import SOURCE, cloud_event, json_schemas
from tracker.core.command import Command
from tracker.core.effect import Alert, Announced, Lifecycle, Publish, Reply

PUBLISHED = Path(__file__).parents[2] / "docs" / "json"

UNDO = Publish("u-1", "s-1", "stock", "stock.release", "e-2", "o-1042", b'{"order_id":"o-1042"}', NOON_MS)
BREACHED = Lifecycle("l-1", "s-1", "o-1042", "order", 1, "breached", NOON_MS, "ship-on-time", NOON_MS + 5)
ALERT = Alert("a-1", "s-1", "o-1042", "order", 1, "stuck", NOON_MS, "inventory does not answer", event="e-2")
REPLY = Reply("r-1", "c-1", "s-1", False, "no such saga", NOON_MS)


def envelope(effect: Announced) -> Envelope:
    return read_envelope(cloud_event(effect).headers, record_time_ms=0)


def test_a_business_event_is_as_a_service_would_publish_it() -> None:
    written = cloud_event(UNDO)

    assert (written.topic, written.key, written.value) == ("stock", b"o-1042", b'{"order_id":"o-1042"}')
    assert ("content-type", b"application/json") in written.headers
    assert envelope(UNDO) == Envelope("u-1", "stock.release", SOURCE, "s-1", NOON_MS, "e-2")


def test_without_a_key_or_a_cause_it_has_the_id_of_the_saga_and_none() -> None:
    effect = Publish("u-1", "s-1", "stock", "stock.release", "", "", b"{}", NOON_MS)

    assert cloud_event(effect).key == b"s-1"
    assert envelope(effect).cause is None


@pytest.mark.parametrize(
    ("effect", "topic", "event_type"),
    [
        (BREACHED, "saga.lifecycle", "saga.breached"),
        (ALERT, "saga.alerts", "saga.alert.stuck"),
        (REPLY, "saga.answers", "saga.command.refused"),
        (Reply("r-1", "c-1", "s-1", True, "", NOON_MS), "saga.answers", "saga.command.accepted"),
    ],
)
def test_what_the_tracker_tells_of_a_saga(effect: Announced, topic: str, event_type: str) -> None:
    written = cloud_event(effect)

    assert (written.topic, written.key) == (topic, b"s-1")
    assert (envelope(effect).id, envelope(effect).type, envelope(effect).saga) == (
        effect.id,
        event_type,
        "s-1",
    )


def test_an_alert_about_no_saga_is_a_saga_of_its_own() -> None:
    alert = Alert("a-1", "", "orders-3", "", 0, "source-gone", NOON_MS, "nobody reads it")

    assert cloud_event(alert).key == b"orders-3", "in order with what else is told of the partition"
    assert envelope(alert).saga == "a-1"
    still = Alert(
        "a-2", "", "payments/order.placed", "order", 0, "standstill", NOON_MS, "3 sagas stand still"
    )
    assert cloud_event(still).key == b"order payments/order.placed"


@pytest.mark.parametrize(
    ("effect", "name"),
    [
        (BREACHED, "lifecycle.schema.json"),
        (ALERT, "alert.schema.json"),
        (REPLY, "answer.schema.json"),
        (Lifecycle("l-1", "s-1", "", "order", 1, "started", NOON_MS), "lifecycle.schema.json"),
    ],
)
def test_data_fit_the_published_schema(effect: Announced, name: str) -> None:
    validator(name).validate(json.decode(cloud_event(effect).value or b""))


def test_a_command_fits_the_published_schema() -> None:
    command = Command("c-1", "s-1", "cancel", "ada", "the customer called", NOON_MS, undo=False)

    validator("command.schema.json").validate(json.decode(json.encode(command)))


def validator(name: str) -> Draft202012Validator:
    schema = json_schemas()[name]
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", schema_texts())
def test_the_published_schema_is_the_generated_one(name: str) -> None:
    assert (PUBLISHED / name).read_text(encoding="utf-8") == schema_texts()[name], "run `make schemas`"


def test_writing_gives_the_same_files(tmp_path: Path) -> None:
    write_schemas(tmp_path / "json")

    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "json").iterdir()}
    assert written == schema_texts()
