"""Declaring events, and their data on the wire."""

import enum
import uuid

import pytest
from pydantic import field_validator

from saga import DeclarationError, Event
from saga.core.errors import SchemaViolation
from saga.core.event import declared_events, is_declared


class Colour(enum.Enum):
    RED = "red"


class TeaPoured(Event, topic="tea", type="tea.poured", version=2, key="cup"):
    cup: str
    sugar: int = 0


class TeaStirred(Event, topic="tea", type="tea.stirred", key="spoon"):
    spoon: Colour | uuid.UUID | int | None = None


class TeaSpilt(Event, topic="tea", type="tea.spilt", extra="forbid"):
    cup: str

    @field_validator("cup")
    @classmethod
    def _is_ours(cls, cup: str) -> str:
        return {"mine": cup}[cup]


class Hot(Event):
    """A base for others: it has no type of its own."""

    degrees: int


class WaterBoiled(Hot, topic="tea", type="water.boiled"):
    pass


def test_an_event_declares_its_type_topic_version_and_key() -> None:
    declared = TeaPoured.declared

    assert (declared.name, declared.topic, declared.version, declared.key) == ("tea.poured", "tea", 2, "cup")
    assert TeaSpilt.declared.version == 1
    assert TeaSpilt.declared.key is None


@pytest.mark.parametrize(
    "arguments", [{"topic": "tea"}, {"type": "tea.cold"}, {"topic": "", "type": "tea.cold"}]
)
def test_a_topic_without_type_or_the_other_way_round_is_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(DeclarationError, match="needs both topic= and type="):
        type("TeaCold", (Event,), {"__module__": __name__}, **arguments)


def test_a_key_must_be_a_field() -> None:
    with pytest.raises(DeclarationError, match="key='pot' is not one of its fields"):

        class TeaGone(Event, topic="tea", type="tea.gone", key="pot"):
            cup: str


def test_only_classes_with_a_type_of_their_own_are_declared() -> None:
    class Boiling(WaterBoiled):
        pass

    assert is_declared(WaterBoiled)
    assert not is_declared(Hot)
    assert not is_declared(Boiling)
    assert not is_declared(TeaPoured(cup="a"))
    assert {TeaPoured, WaterBoiled} <= set(declared_events())
    assert Hot not in set(declared_events())


def test_the_data_survives_the_wire() -> None:
    event = TeaPoured(cup="größer", sugar=2)

    assert TeaPoured.read(event.write()) == event


def test_fields_that_the_class_does_not_know_are_ignored_unless_forbidden() -> None:
    assert TeaPoured.read(b'{"cup": "a", "milk": true}') == TeaPoured(cup="a")
    with pytest.raises(SchemaViolation, match=r"tea\.spilt version 1: milk: Extra inputs"):
        TeaSpilt.read(b'{"cup": "mine", "milk": true}')


def test_data_that_does_not_fit_says_where_and_why_but_never_what_was_sent() -> None:
    with pytest.raises(
        SchemaViolation, match=r"tea\.poured version 2: cup: .*string; sugar: .*integer"
    ) as caught:
        TeaPoured.read(b'{"cup": 4929123, "sugar": "secret"}')

    assert "4929123" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"cup": "\\ud800"}'])
def test_what_is_no_json_object_is_a_schema_violation(data: bytes) -> None:
    with pytest.raises(SchemaViolation):
        TeaPoured.read(data)


def test_a_validator_that_raises_anything_is_a_schema_violation() -> None:
    with pytest.raises(SchemaViolation, match="a validator raised KeyError"):
        TeaSpilt.read(b'{"cup": "yours"}')


def test_data_that_can_not_be_written_is_a_schema_violation() -> None:
    with pytest.raises(SchemaViolation, match=r"tea\.poured can't be written as JSON"):
        TeaPoured(cup="\ud800").write()


@pytest.mark.parametrize(
    ("spoon", "key"),
    [
        (Colour.RED, "red"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (42, "42"),
        (None, None),
    ],
)
def test_the_key_is_the_text_of_its_field(spoon: Colour | uuid.UUID | int | None, key: str | None) -> None:
    assert TeaStirred(spoon=spoon).key() == key


def test_without_a_key_field_there_is_no_key() -> None:
    assert WaterBoiled(degrees=100).key() is None
