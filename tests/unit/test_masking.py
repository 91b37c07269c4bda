"""What is masked in a payload, by the schemas that services announce."""

import json
from enum import Enum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from saga import Event, Sensitive, Service
from tracker.core.masking import MASK, StillMasked, masked, unmasked


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    name: str
    price: Annotated[float, Sensitive()]


class Address(BaseModel):
    street: str
    lines: list[Line] = []
    inner: "Address | None" = None


class CardUsed(Event, topic="cards", type="card.used", version=2, key="order"):
    order: str
    card: Annotated[str, Sensitive()]
    secret: SecretStr
    lines: list[Line]
    by_name: dict[str, Line]
    address: Address | None
    hidden: Annotated[Address | None, Sensitive()]
    either: Line | int
    pair: tuple[int, Annotated[str, Sensitive()]]
    colour: Colour
    free: dict[str, Any]


SCHEMA = CardUsed.schema_of_data() or {}

LINE = {"name": "rope", "price": 3.5}
MASKED_LINE = {"name": "rope", "price": MASK}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"order": "o-1", "card": "4242"}, {"order": "o-1", "card": MASK}),
        ({"secret": "**"}, {"secret": MASK}),
        ({"lines": [LINE, LINE]}, {"lines": [MASKED_LINE, MASKED_LINE]}),
        ({"by_name": {"a": LINE}}, {"by_name": {"a": MASKED_LINE}}),
        ({"address": None}, {"address": None}),
        (
            {"address": {"street": "s", "lines": [LINE], "inner": {"street": "t", "lines": [LINE]}}},
            {
                "address": {
                    "street": "s",
                    "lines": [MASKED_LINE],
                    "inner": {"street": "t", "lines": [MASKED_LINE]},
                }
            },
        ),
        ({"hidden": {"street": "s"}}, {"hidden": MASK}),
        ({"hidden": None}, {"hidden": MASK}),
        ({"either": LINE}, {"either": MASKED_LINE}),
        ({"either": 7}, {"either": 7}),
        ({"pair": [1, "secret"]}, {"pair": [1, MASK]}),
        ({"colour": "red"}, {"colour": "red"}),
        ({"free": {"a": [1, {"b": None}]}}, {"free": {"a": [1, {"b": None}]}}),
        # What the schema does not speak of: unknown fields, and values of another kind.
        ({"unknown": "4242"}, {"unknown": MASK}),
        ({"address": {"street": "s", "unknown": 1}}, {"address": {"street": "s", "unknown": MASK}}),
        ({"order": {"card": "4242"}}, {"order": {"card": MASK}}),
        ({"lines": "4242"}, {"lines": MASK}),
        ({"pair": [1, "a", "b"]}, {"pair": [1, MASK, MASK]}),
        ("4242", MASK),
        ([LINE], [MASK]),
    ],
)
def test_a_value_is_shown_as_its_schema_says(value: object, shown: object) -> None:
    assert masked(value, [SCHEMA]).value == shown


def test_without_a_schema_nothing_is_shown() -> None:
    assert masked({"order": "o-1"}, []) == (MASK, ("",))


def test_of_several_schemas_one_that_masks_is_enough() -> None:
    mild = {"properties": {name: {"type": "string"} for name in ("order", "card", "new")}}
    told = masked({"order": "o-1", "card": "4242", "new": "n"}, [mild, SCHEMA])

    assert told == ({"order": "o-1", "card": MASK, "new": "n"}, ("/card",))


def test_places_are_json_pointers() -> None:
    told = masked({"by_name": {"a/b~c": LINE}}, [SCHEMA])

    assert told.places == ("/by_name/a~1b~0c/price",)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"$ref": "https://elsewhere/schema"},
        {"$ref": "#/$defs/None"},
        {"$ref": 1},
        False,
        {"enum": ["a"]},
        {"const": "a"},
        {"anyOf": [{"type": "null"}, {"type": "integer"}]},
        {"anyOf": "strange"},
    ],
)
def test_what_a_schema_can_not_say_is_masked(schema: Any) -> None:
    assert masked("secret", [schema]).value == MASK


def test_a_deep_value_is_masked_where_nobody_looks() -> None:
    deep: Any = "secret"
    for _ in range(300):
        deep = [deep]

    assert "secret" not in json.dumps(masked(deep, [True]).value)


class Plain(BaseModel):
    shown: str


class Nested(BaseModel):
    card: Annotated[str, Sensitive()] = ""
    plain: Plain | None = None
    several: list["Nested"] = []
    named: dict[str, "Nested | Plain"] = {}
    of: "Nested | list[Nested] | None" = None


def nested() -> st.SearchStrategy[Nested]:
    plain = st.builds(Plain, shown=st.just("shown"))

    def wider(inner: st.SearchStrategy[Nested]) -> st.SearchStrategy[Nested]:
        return st.builds(
            Nested,
            card=st.just("SECRET"),
            plain=st.none() | plain,
            several=st.lists(inner, max_size=3),
            named=st.dictionaries(st.text(max_size=3), inner | plain, max_size=3),
            of=st.none() | inner | st.lists(inner, max_size=2),
        )

    return st.recursive(st.builds(Nested, card=st.just("SECRET")), wider, max_leaves=8)


@given(value=nested())
def test_nothing_sensitive_is_shown_and_all_else_is(value: Nested) -> None:
    plain = value.model_dump(mode="json")
    told = json.dumps(masked(plain, [Nested.model_json_schema(mode="serialization")]).value)

    assert "SECRET" not in told
    assert told == json.dumps(plain).replace("SECRET", MASK)


def test_a_service_announces_what_its_events_consist_of() -> None:
    cards = Service("cards", publishes=[CardUsed])
    (told,) = cards.announcement().events

    assert (told.type, told.version) == ("card.used", 2)
    assert told.schema["properties"]["card"]["x-sensitive"] is True


ORDER: dict[str, Any] = {
    "order": "o-1",
    "card": "4242",
    "lines": [{"name": "rope", "price": 3.5}, {"name": "hook", "price": 4}],
    "either": True,
}
SHOWN: Any = masked(ORDER, [SCHEMA]).value
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.sampled_from(["a", MASK]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from([SCHEMA, True, {"properties": {"a": True}}]))
def test_what_is_left_as_it_was_shown_stays_as_it_was(value: object, schema: Any) -> None:
    shown = masked(value, [schema]).value

    assert json.dumps(unmasked(shown, shown, value)) == json.dumps(value)


@pytest.mark.parametrize(
    ("changes", "meant"),
    [
        ({"order": "o-2"}, {"order": "o-2"}),
        ({"card": "4000"}, {"card": "4000"}),
        ({"lines": SHOWN["lines"][::-1]}, {"lines": ORDER["lines"][::-1]}),
        ({"lines": SHOWN["lines"][1:]}, {"lines": ORDER["lines"][1:]}),
        (
            {"lines": [{"name": "rope", "price": 1}, SHOWN["lines"][1]]},
            {"lines": [{"name": "rope", "price": 1}, ORDER["lines"][1]]},
        ),
        ({"either": 1}, {"either": 1}),
        ({"new": {"deep": [1]}}, {"new": {"deep": [1]}}),
    ],
)
def test_a_changed_payload_keeps_what_was_masked(changes: dict[str, Any], meant: dict[str, Any]) -> None:
    assert repr(unmasked(SHOWN | changes, SHOWN, ORDER)) == repr(ORDER | meant)


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        (SHOWN | {"order": MASK}, "/order"),
        (SHOWN | {"card": {"number": MASK}}, "/card/number"),
        (SHOWN | {"lines": [{"name": "nail", "price": MASK}]}, "/lines/0/price"),
        (MASK, "the top"),
    ],
)
def test_a_mask_is_never_taken_for_a_value(changed: object, place: str) -> None:
    with pytest.raises(StillMasked, match=place):
        unmasked(changed, SHOWN, ORDER)


def test_of_two_lines_that_look_alike_it_can_not_be_told_which_one_is_meant() -> None:
    order = {"lines": [{"name": "rope", "price": 1}, {"name": "rope", "price": 2}]}
    shown: Any = masked(order, [SCHEMA]).value

    with pytest.raises(StillMasked, match="/lines/0/price"):
        unmasked({"lines": shown["lines"][:1]}, shown, order)
