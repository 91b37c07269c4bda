"""What the collector reads off records, and what it leaves out."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from msgspec import json, structs

from saga.core.envelope import Envelope
from saga.core.receipt import Failure, Receipt, Receipts
from tracker.core.collect import (
    KEY_LENGTH_MAX,
    NO_PAYLOADS,
    NOT_A_COMMAND,
    NOT_AN_EVENT,
    NOT_RECEIPTS,
    PAYLOAD_BYTES_MAX,
    REASON_LENGTH_MAX,
    Payloads,
    SagaFacts,
    Uncorrelated,
    collect_commands,
    collect_events,
    collect_receipts,
)
from tracker.core.command import Command
from tracker.core.correlation import NO_SAGA, TOO_LONG
from tracker.core.frame import CommandSeen, EventSeen, ReceiptSeen

PLACED = Envelope("o-1", "order.placed", "web", "s-1", 1_000)
RESERVED = Envelope("r-1", "stock.reserved", "inventory", "s-1", 2_000, "o-1", version=2)
STRUCTURED = [("content-type", b"application/cloudevents+json")]


@dataclass
class Written:
    """A record, as Kafka gives it."""

    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    value: bytes | None = b"{}"
    key: bytes | None = b"o-1042"
    offset: int = 7
    timestamp: int = 5_000


def events(*records: Written, payloads: Payloads = NO_PAYLOADS) -> tuple[SagaFacts, Uncorrelated]:
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    collect_events("orders", 3, records, facts, uncorrelated, payloads)
    return facts, uncorrelated


def payload(event: Envelope, value: bytes | None, payloads: Payloads) -> bytes | None:
    """What is passed of the payload of this event."""
    facts, uncorrelated = events(Written([*event.headers()], value), payloads=payloads)
    assert not uncorrelated
    [fact] = facts[event.saga]
    assert isinstance(fact, EventSeen)
    return fact.data


def commands(*records: Written) -> tuple[SagaFacts, Uncorrelated]:
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    collect_commands("saga.commands", records, facts, uncorrelated)
    return facts, uncorrelated


def receipts(*records: Written) -> tuple[SagaFacts, Uncorrelated]:
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    collect_receipts("saga.receipts", records, facts, uncorrelated)
    return facts, uncorrelated


def receipt(event: str | None, saga: str | None, handler: str = "charge") -> Receipt:
    failure = Failure("TimeoutError", "no answer")
    return Receipt(
        event, saga, "any", handler, "retrying", 10, 2.5, "orders", 0, 1, attempt=2, failure=failure
    )


def batch(*told: Receipt) -> Written:
    return Written(value=json.encode(Receipts("payments", "payments-1", list(told))))


def test_events_of_a_saga_are_gathered_in_the_order_they_were_read() -> None:
    facts, uncorrelated = events(Written([*PLACED.headers()]), Written([*RESERVED.headers()], offset=8))

    assert facts == {
        "s-1": [
            EventSeen("o-1", "order.placed", "web", "orders", 3, 7, 1_000, None, "o-1042", 1),
            EventSeen("r-1", "stock.reserved", "inventory", "orders", 3, 8, 2_000, "o-1", "o-1042", 2),
        ]
    }
    assert not uncorrelated


def test_the_value_of_an_event_is_not_read() -> None:
    facts, _ = events(Written([*PLACED.headers()], value=b"\xff no json"), Written([*PLACED.headers()], None))

    assert len(facts["s-1"]) == 2


def test_a_structured_event_is_read_from_its_value() -> None:
    value = b'{"specversion":"1.0","id":"e-1","type":"t","source":"s","correlationid":"s-2","data":[1]}'

    facts, _ = events(Written([*STRUCTURED], value))

    assert facts["s-2"] == [EventSeen("e-1", "t", "s", "orders", 3, 7, 5_000, None, "o-1042", 1)]


def test_what_is_no_event_is_counted() -> None:
    facts, uncorrelated = events(
        Written(),
        Written([("ce_id", b"\xff")]),
        Written([*STRUCTURED], b"no json"),
        Written([*STRUCTURED], None),
        Written([*STRUCTURED], b'{"id":"without a type"}'),
    )

    assert not facts
    assert uncorrelated == {("orders", NOT_AN_EVENT): 5}


def test_names_without_end_are_counted_and_long_keys_cut() -> None:
    endless = Envelope("e", "t" * 2_000, "s", "s-1", 1)
    caused = Envelope("e", "t", "s", "s-1", 1, cause="c" * 300)
    facts, uncorrelated = events(
        Written([*endless.headers()]),
        Written([*caused.headers()]),
        Written([*PLACED.headers()], key=b"k" * 999),
    )

    assert uncorrelated == {("orders", TOO_LONG): 2}
    (fact,) = facts["s-1"]
    assert isinstance(fact, EventSeen)
    assert fact.key == "k" * KEY_LENGTH_MAX


def test_a_key_that_is_no_text_is_no_obstacle() -> None:
    facts, _ = events(Written([*PLACED.headers()], key=b"\xff\x00"), Written([*PLACED.headers()], key=None))

    assert [fact.key for fact in facts["s-1"] if isinstance(fact, EventSeen)] == ["\ufffd\x00", None]


def test_receipts_are_told_to_their_sagas() -> None:
    facts, uncorrelated = receipts(batch(receipt("o-1", "s-1"), receipt("o-2", "s-2")))

    failure = Failure("TimeoutError", "no answer")
    assert facts["s-1"] == [
        ReceiptSeen("o-1", "payments", "payments-1", "charge", "retrying", 10, 2.5, 2, failure, None)
    ]
    assert list(facts) == ["s-1", "s-2"]
    assert not uncorrelated


def test_receipts_that_no_saga_can_be_told_are_counted() -> None:
    facts, uncorrelated = receipts(
        batch(
            receipt(None, None), receipt("o-1", None), receipt("", "s-1"), receipt("o-1", "s-1", "h" * 2_000)
        ),
        Written(value=b"\xff"),
        Written(value=None),
        Written(value=b"[]"),
    )

    assert not facts
    assert uncorrelated == {
        ("saga.receipts", NO_SAGA): 3,
        ("saga.receipts", TOO_LONG): 1,
        ("saga.receipts", NOT_RECEIPTS): 3,
    }


def test_payloads_are_passed_of_the_types_that_some_flow_needs() -> None:
    needed = Payloads(frozenset({"order.placed"}))

    assert payload(PLACED, b'{"value": 1}', needed) == b'{"value": 1}'
    assert payload(RESERVED, b'{"value": 1}', needed) is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="no value"),
        pytest.param(b"", id="empty"),
        pytest.param(b"[1]", id="no object"),
        pytest.param(b'{"a": 1', id="cut"),
        pytest.param(b'{"a": "\xff"}', id="not UTF-8"),
        pytest.param(b"[" * 60_000, id="nested without end"),
        pytest.param(b'{"a": "%b"}' % (b"x" * PAYLOAD_BYTES_MAX), id="too large"),
    ],
)
def test_a_payload_that_is_no_json_object_or_too_large_is_not_passed_but_its_event_is(
    value: bytes | None,
) -> None:
    assert payload(PLACED, value, Payloads(frozenset({"order.placed"}))) is None


def test_the_payload_of_a_structured_event_is_its_data() -> None:
    value = b'{"specversion":"1.0","id":"e-1","type":"t","source":"s","data":{"value":7}}'
    facts, _ = events(Written([*STRUCTURED], value), payloads=Payloads(frozenset("t")))

    assert facts["e-1"] == [
        EventSeen("e-1", "t", "s", "orders", 3, 7, 5_000, None, "o-1042", 1, b'{"value":7}')
    ]


CANCEL = Command("c-1", "s-1", "cancel", "ada", "the customer called", 9_000, undo=False)


def test_commands_are_told_to_their_sagas() -> None:
    facts, uncorrelated = commands(
        Written(value=json.encode(CANCEL)),
        Written(value=b'{"id":"c-2","saga":"s-2","action":"note","by":"b","reason":"r","at_ms":1,"new":2}'),
    )

    assert facts == {
        "s-1": [CommandSeen("c-1", "cancel", "ada", "the customer called", 9_000, "", False)],
        "s-2": [CommandSeen("c-2", "note", "b", "r", 1, "", True)],
    }
    assert not uncorrelated


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, NOT_A_COMMAND),
        (b"\xff", NOT_A_COMMAND),
        (b'{"id":"c-1","saga":"s-1","action":"explode","by":"b","reason":"r","at_ms":1}', NOT_A_COMMAND),
        (b'{"saga":"s-1","action":"note","by":"b","reason":"r","at_ms":1}', NOT_A_COMMAND),
        (json.encode(structs.replace(CANCEL, id="")), NOT_A_COMMAND),
        (json.encode(structs.replace(CANCEL, by=" ")), NOT_A_COMMAND),
        (json.encode(structs.replace(CANCEL, reason="")), NOT_A_COMMAND),
        (json.encode(structs.replace(CANCEL, saga="")), NO_SAGA),
        (json.encode(structs.replace(CANCEL, saga="s" * 300)), TOO_LONG),
        (json.encode(structs.replace(CANCEL, reason="r" * (REASON_LENGTH_MAX + 1))), TOO_LONG),
    ],
)
def test_what_is_no_command_is_counted(value: bytes | None, reason: str) -> None:
    facts, uncorrelated = commands(Written(value=value))

    assert not facts
    assert uncorrelated == {("saga.commands", reason): 1}
