"""The published JSON Schemas: as generated, and what the services really send fits them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator, ValidationError

from saga import Event, Service
from saga.cli.schemas import schema_texts, write_schemas
from saga.core.receipt import Failure, Receipt, Receipts, json_schemas

PUBLISHED = Path(__file__).parents[2] / "docs" / "json"


class GateOpened(Event, topic="gates", type="gate.opened"):
    pass


def validator(name: str) -> Draft202012Validator:
    schema = json_schemas()[name]
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def on_the_wire(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


@pytest.mark.parametrize("name", schema_texts())
def test_the_published_schema_is_the_generated_one(name: str) -> None:
    assert (PUBLISHED / name).read_text(encoding="utf-8") == schema_texts()[name], "run `make schemas`"


def test_nothing_else_is_published_and_writing_gives_the_same_files(tmp_path: Path) -> None:
    write_schemas(tmp_path / "json")

    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "json").iterdir()}
    assert written == schema_texts()
    assert {path.name for path in PUBLISHED.glob("*.schema.json")} >= set(written)


@pytest.mark.parametrize(
    "receipt",
    [
        Receipt("e-1", "saga-1", "order.placed", "reserve", "handled", 1, 0.25, "orders", 0, 7),
        Receipt(
            None, None, None, "", "dead-lettered", 1, 0.0, "orders", 0, 7, 1, Failure("NotAnEvent", "no")
        ),
        Receipt(
            "e-1", "saga-1", "t", "reserve", "retrying", 1, 3.5, "orders", 0, 7, 2, Failure("E", ""), 1_000
        ),
        Receipt("e-1", "saga-1", "t", "", "ignored", 1, 0.0, "orders", 0, 7),
    ],
)
def test_receipts_as_they_are_sent_fit_the_schema(receipt: Receipt) -> None:
    sent = on_the_wire(Receipts("inventory", "i1", [receipt]))

    validator("receipts.schema.json").validate(sent)
    assert msgspec.convert(sent, Receipts).receipts == [receipt]


def test_an_announcement_as_it_is_sent_fits_the_schema() -> None:
    service = Service("gates", publishes=[GateOpened])

    @service.on(GateOpened)
    async def shut(gate: GateOpened) -> None:
        return None

    validator("service.schema.json").validate(on_the_wire(service.announcement()))


@pytest.mark.parametrize(
    "receipts", [[{}], [{"event": 1}], "none", [{"event": None, "saga": None, "type": None, "handler": ""}]]
)
def test_what_is_no_receipt_does_not_fit(receipts: object) -> None:
    with pytest.raises(ValidationError):
        validator("receipts.schema.json").validate({"service": "s", "instance": "i", "receipts": receipts})
