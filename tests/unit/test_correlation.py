"""What correlation rules make of records."""

from collections import Counter
from typing import Any

import pytest
from msgspec import json

from saga.core.envelope import Envelope
from tests.unit.test_collect import Written
from tracker.core.collect import SagaFacts, Uncorrelated, collect_events
from tracker.core.correlation import (
    BAD_TIME,
    NO_SAGA,
    NO_TYPE,
    NOT_JSON,
    TOO_LONG,
    Constant,
    Header,
    Key,
    Moment,
    Path,
    Rule,
    Rules,
)
from tracker.core.frame import EventSeen

SAGA = (Path(("case",)),)
TYPE = (Path(("what", "name")),)
RULE = Rule("legacy", 1, ("orders",), SAGA, TYPE)
ROW = {"case": "c-1", "what": {"name": "Order placed"}, "lines": [{"sku": "s-1"}, {"sku": 2}], "none": None}


def told(record: Written, *rules: Rule) -> EventSeen | str:
    """The one fact of a record, or why there is none."""
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    collect_events("orders", 3, [record], facts, uncorrelated, rules=rules)
    if uncorrelated:
        [(topic, reason)] = uncorrelated
        assert topic == "orders"
        return reason
    [[fact]] = facts.values()
    assert isinstance(fact, EventSeen)
    return fact


def row(**changes: Any) -> Written:
    return Written(value=json.encode(ROW | changes))


def test_a_row_is_an_event_with_defaults_for_what_the_rule_does_not_name() -> None:
    facts: SagaFacts = {}
    collect_events("orders", 3, [row()], facts, Counter(), rules=(RULE,))

    assert facts == {
        "c-1": [
            EventSeen(
                "orders-3-000000000007", "Order placed", "orders", "orders", 3, 7, 5_000, None, "o-1042", 1
            )
        ]
    }


def test_each_attribute_comes_from_where_the_rule_says() -> None:
    rule = Rule(
        "legacy",
        1,
        ("orders",),
        (Header("x-saga", "order-"),),
        (Constant("order.placed"),),
        id=(Key("e-"),),
        time=(Moment(Path(("at",)), 1),),
        cause=(Path(("lines", -1, "sku")),),
        key=(Path(("lines", 0, "sku")),),
        origin=(Constant("shop"),),
    )
    record = row(at=1_600_000_000.25)
    record.headers = [("x-saga", b"42")]

    event = told(record, rule)
    assert isinstance(event, EventSeen)
    assert (event.id, event.type, event.source) == ("e-o-1042", "order.placed", "shop")
    assert (event.time_ms, event.cause, event.key) == (1_600_000_000_250, "2", "s-1")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (row(case=""), NO_SAGA),
        (row(case=None), NO_SAGA),
        (row(case={"a": 1}), NO_SAGA),
        (row(what="Order placed"), NO_TYPE),
        (Written(value=b"case;what"), NOT_JSON),
        (Written(value=None), NOT_JSON),
        (Written(value=b"[" * 100_000), NOT_JSON),
        (row(case="c" * 257), TOO_LONG),
        (row(what={"name": "n" * 1025}), TOO_LONG),
    ],
)
def test_what_can_not_be_correlated_is_counted_with_its_reason(record: Written, reason: str) -> None:
    assert told(record, RULE) == reason


@pytest.mark.parametrize(
    ("value", "per_second", "time_ms"),
    [
        ("2011-10-11 13:45:40.276000+02:00", 1_000, 1_318_333_540_276),
        ("2011-10-11T11:45:40.276Z", 1_000, 1_318_333_540_276),
        ("2011-10-11 11:45:40", 1_000, 1_318_333_540_000),
        (1_318_333_540_276, 1_000, 1_318_333_540_276),
        ("1318333540276000000", 1_000_000_000, 1_318_333_540_276),
        (1_318_333_540, 1, 1_318_333_540_000),
        (None, 1_000, 5_000),
        ("", 1_000, 5_000),
        ("yesterday", 1_000, BAD_TIME),
        (-1, 1_000, BAD_TIME),
        (1e300, 1_000, BAD_TIME),
        ("9" * 25, 1, BAD_TIME),
        ("1899-01-01", 1_000, BAD_TIME),
    ],
)
def test_a_time_is_a_text_or_a_number_of_its_unit(value: object, per_second: int, time_ms: object) -> None:
    rule = Rule("legacy", 1, ("orders",), SAGA, TYPE, time=(Moment(Path(("at",)), per_second),))

    event = told(row(at=value), rule)
    assert (event.time_ms if isinstance(event, EventSeen) else event) == time_ms


@pytest.mark.parametrize(
    ("value", "saga"), [(7, "7"), (True, "true"), (1.5, "1.5"), ("7", "7"), (2**63, str(2**63))]
)
def test_numbers_name_a_saga_as_they_are_written(value: object, saga: str) -> None:
    facts: SagaFacts = {}
    collect_events("orders", 3, [row(case=value)], facts, Counter(), rules=(RULE,))

    assert list(facts) == [saga]


def test_of_several_places_the_first_counts_at_which_there_is_something() -> None:
    places = (Header("x-saga"), Path(("none",)), Path(("lines", 7)), Path(("case",)), Constant("never"))
    rule = Rule("legacy", 1, ("orders",), places, TYPE, key=places)

    event = told(row(), rule)
    assert isinstance(event, EventSeen)
    assert event.key == "c-1"


def test_of_several_rules_the_first_that_fits_counts() -> None:
    other = Rule("other", 1, ("*",), (Header("x-saga"),), TYPE)

    assert isinstance(told(row(), other, RULE), EventSeen)
    assert told(row(case=""), RULE, other) == NO_SAGA


def test_a_cloud_event_needs_no_rule_and_heeds_none() -> None:
    envelope = Envelope("o-1", "order.placed", "web", "s-1", 1_000)

    event = told(Written([*envelope.headers()], row().value), RULE)
    assert isinstance(event, EventSeen)
    assert event.id == "o-1"


def test_a_rule_is_for_the_topics_that_it_names() -> None:
    wide = Rule("wide", 1, ("legacy.*", "a.b"), SAGA, TYPE)
    rules = Rules([wide, RULE])

    assert [rule.name for rule in rules] == ["legacy", "wide"]
    assert rules.of("orders") == (RULE,)
    assert rules.of("legacy.tickets") == rules.of("a.b") == (wide,)
    assert rules.of("a-b") == rules.of("legacy") == rules.of("orders2") == ()
    assert rules.get("wide") is wide
    assert rules.get("narrow") is None
