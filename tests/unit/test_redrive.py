"""What is done about dead letters, decided without Kafka."""

from dataclasses import dataclass

import pytest
from msgspec import Raw, structs

from saga.core.delivery import Delivery, dead_letter
from saga.core.envelope import Envelope
from saga.core.outcome import Output
from saga.core.redrive import Redrive, read_redrive
from tests.records import record_of
from tracker.core.collect import collect_events
from tracker.core.dead_letter import Letter, Place, read_letter
from tracker.core.redrive import (
    ORIGINAL_BYTES_MAX,
    Heard,
    Selection,
    State,
    Treatment,
    UnusableEdit,
    batch_size,
    edit,
    encode_treatment,
    groups,
    judge,
    parking_topic,
    read_treatment,
    redriven,
    state,
    to_do,
    why_stop,
)

ENVELOPE = Envelope("e-1", "order.placed", "orders", "saga-1", 0, "e-0")
AT = Place("saga.dlq.payments", 0, 5)
LETTER = Letter(AT, Place("orders", 3, 42), 1_000, "saga", "payments", "charge", "order.placed", error="E")
TOPICS = {"orders", "saga.commands", "saga.alerts"}


def treated(outcome: str = "redriven", **more: object) -> Treatment:
    return Treatment(str(AT), outcome, "ada", "why", 5, "b-1", **more)  # type: ignore[arg-type]


@dataclass
class Letterbox:
    """A letter as a service writes it, read back."""

    value: bytes = b'{"a": 1}'

    def __post_init__(self) -> None:
        sent = (b"k", self.value, [*ENVELOPE.headers(), ("mine", b"kept")])
        self.output: Output = dead_letter(
            "payments", "charge", Delivery("orders", 3, 42), ValueError(), 9, sent
        )
        self.letter = read_letter(self.output.headers, AT, 10)
        self.record = (self.output.key, self.output.value, self.output.headers)


def test_a_letter_goes_back_as_it_was_published() -> None:
    box = Letterbox()
    back = redriven(box.letter, box.record, None, "b-1", "payments")

    assert back[:4] == ("orders", 3, b"k", b'{"a": 1}')
    assert back.headers[: len(ENVELOPE.headers()) + 1] == [*ENVELOPE.headers(), ("mine", b"kept")]
    assert read_redrive(back.headers) == Redrive(str(AT), "b-1", 1, "payments", "charge", None)


def test_an_edited_letter_carries_what_was_there_before_also_when_it_is_edited_twice() -> None:
    box = Letterbox()
    edited = redriven(box.letter, box.record, treated("edited", payload=Raw(b'{"a": 2}')), "b-1", "payments")
    assert edited.value == b'{"a": 2}'

    failed = dead_letter("payments", "charge", Delivery("orders", 3, 43), ValueError(), 9, tuple(edited[2:]))  # type: ignore[arg-type]
    letter = read_letter(failed.headers, AT._replace(offset=6), 10)
    again = redriven(
        letter, (failed.key, failed.value, failed.headers), treated(payload=Raw(b"{}")), "b-2", ""
    )
    found = read_redrive(again.headers)
    assert found is not None
    assert (found.original, found.replays, again.value) == (b'{"a": 1}', 2, b"{}")


def test_a_large_original_is_known_by_its_letter_only() -> None:
    box = Letterbox(b"1" * (ORIGINAL_BYTES_MAX + 1))
    back = redriven(box.letter, box.record, treated("edited", payload=Raw(b"{}")), "b-1", "")
    found = read_redrive(back.headers)
    assert found is not None
    assert (found.original, found.letter) == (b"", str(AT))


def test_the_tracker_takes_a_redriven_event_for_no_second_one() -> None:
    box = Letterbox()
    back = redriven(box.letter, box.record, None, "b-1", "")
    facts: dict[str, list[object]] = {}
    collect_events("orders", 3, [record_of(back.headers, b"{}")], facts, {})  # type: ignore[arg-type]
    assert facts == {}


@pytest.mark.parametrize(
    ("treatment", "failed_again", "stands"),
    [
        (None, set(), "waiting"),
        (treated("edited"), set(), "edited"),
        (treated(to="orders/3/50"), set(), "redriven"),
        (treated(to="orders/3/50"), {"orders/3/50"}, "failed-again"),
        (treated("succeeded", to="orders/3/50"), set(), "succeeded"),
        (treated("parked"), set(), "parked"),
        (treated("discarded"), set(), "discarded"),
    ],
)
def test_where_a_letter_stands(treatment: Treatment | None, failed_again: set[str], stands: State) -> None:
    assert state(treatment, failed_again) == stands


@pytest.mark.parametrize(
    ("now", "named", "what"),
    [
        ("waiting", False, "redrive"),
        ("edited", False, "redrive"),
        ("parked", False, "leave"),
        ("parked", True, "redrive"),
        ("discarded", True, "redrive"),
        ("redriven", True, "leave"),
        ("succeeded", True, "leave"),
        ("failed-again", True, "leave"),
    ],
)
def test_no_letter_is_redriven_twice(now: State, named: bool, what: str) -> None:
    assert judge(LETTER, now, named=named, replays_max=3, topics=TOPICS).what == what


def test_what_fails_again_and_again_is_parked_unless_it_is_named() -> None:
    often = structs.replace(LETTER, replays=3)
    assert judge(often, "waiting", named=False, replays_max=3, topics=TOPICS).what == "park"
    assert judge(often, "waiting", named=True, replays_max=3, topics=TOPICS).what == "redrive"
    assert judge(often, "waiting", named=False, replays_max=4, topics=TOPICS).what == "redrive"
    assert parking_topic("saga.dlq.payments") == "saga.parked-letters.payments"
    assert parking_topic("orders.DLT") == "saga.parked-letters.orders.DLT"


@pytest.mark.parametrize("topic", ["", "vanished", "saga.commands", "__consumer_offsets", "saga-x-changelog"])
def test_nothing_is_redriven_to_where_no_event_belongs(topic: str) -> None:
    letter = structs.replace(LETTER, original=Place(topic, 0, 1))
    verdict = judge(letter, "waiting", named=True, replays_max=3, topics={*TOPICS, "saga-x-changelog"})
    assert verdict.what == "leave"
    assert topic in verdict.why


def test_alerts_that_a_webhook_did_not_take_are_redriven() -> None:
    letter = structs.replace(LETTER, original=Place("saga.alerts", 0, 1))
    assert judge(letter, "waiting", named=False, replays_max=3, topics=TOPICS).what == "redrive"


def test_a_selection_is_of_named_letters_or_of_a_group() -> None:
    other = structs.replace(LETTER, at=AT._replace(offset=6), error="F")
    assert Selection("t", (AT,)).has(LETTER)
    assert not Selection("t", (AT,)).has(other)
    assert Selection("t", error="F").has(other)
    assert not Selection("t", error="F", service="orders").has(other)
    assert Selection("t").has(other)
    unnamed = structs.replace(other, service="", at=Place("orders.DLT", 0, 1))
    assert Selection("orders.DLT", service="orders.DLT").has(unnamed)
    assert not Selection("orders.DLT", service="orders").has(unnamed)


def test_batches_grow_up_to_a_limit() -> None:
    assert [batch_size(number, 10) for number in range(6)] == [1, 2, 4, 8, 10, 10]
    assert batch_size(10_000, 500) == 500


@pytest.mark.parametrize(
    ("heard", "why"),
    [
        ({"a": "succeeded"}, ""),
        ({"a": "failed-again"}, "1 of the last 1 failed again"),
        ({"a": "retrying"}, "1 of the last 1 failed again"),
        ({"a": "succeeded", "b": "succeeded", "c": "failed-again"}, "1 of the last 3 failed again"),
        ({"a": "succeeded", "b": "succeeded", "c": "ignored", "d": "failed-again"}, ""),
        ({"a": "succeeded", "b": ""}, "payments did not answer (is it running?)"),
    ],
)
def test_a_redrive_stops_when_too_many_fail_again_or_nobody_answers(
    heard: dict[str, Heard], why: str
) -> None:
    assert why_stop(heard, dict.fromkeys(heard, "payments"), 0.25) == why


def test_the_silence_of_those_who_send_no_receipts_is_no_bad_sign() -> None:
    assert why_stop({"a": ""}, {"a": ""}, 0.2) == ""


def test_a_treatment_survives_its_record_and_an_edit_keeps_its_bytes() -> None:
    payload = edit(b' {"a":  [1.50, "\\u00e9"]} \n', 1_000)
    before = treated("edited", payload=payload)
    after = read_treatment(encode_treatment(before))
    assert after is not None
    assert bytes(after.payload) == b'{"a":  [1.50, "\\u00e9"]}'
    assert structs.replace(after, payload=payload) == before


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{}", b"\xff", b'{"letter": 1}'])
def test_what_somebody_else_wrote_is_no_treatment(value: bytes | None) -> None:
    assert read_treatment(value) is None


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"nan", b'"\xff"', b"[" * 100_000, b"1" * 101])
def test_an_edit_has_to_be_json_that_is_not_too_large(payload: bytes) -> None:
    with pytest.raises(UnusableEdit, match="new payload"):
        edit(payload, 100 if payload.startswith(b"1") else 1_000_000)


def test_groups_tell_what_there_is_to_do() -> None:
    other = structs.replace(LETTER, type="order.paid", at_ms=500)
    [first, second] = groups(
        [
            (other, "discarded"),
            (other, "succeeded"),
            (LETTER, "waiting"),
            (LETTER, "edited"),
            (LETTER, "parked"),
        ]
    )
    assert (first.type, first.count, to_do(first)) == ("order.placed", 3, 2)
    assert (second.type, second.count, to_do(second), second.oldest_ms) == ("order.paid", 2, 0, 500)
