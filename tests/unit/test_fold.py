"""What single facts make of a saga, and where its limits are."""

from random import Random

import pytest
from msgspec import structs

from saga.core.receipt import Failure
from tests.facts import NOON_MS, event, receipt
from tracker.core.errors import UnreadableSaga
from tracker.core.fold import MESSAGE_LENGTH_MAX, fold, thinner
from tracker.core.frame import ChildBegun, Observation
from tracker.core.saga import (
    ATTEMPTS_MAX,
    CHILDREN_MAX,
    COPIES_MAX,
    HANDLINGS_MAX,
    MARKED_TYPES_MAX,
    MARKS_PER_TYPE_MAX,
    STEPS_MAX,
    Position,
    Saga,
    decode_saga,
    encode_saga,
)


def test_an_event_published_twice_shows_both_positions_and_the_earlier_copy_counts() -> None:
    saga = fold(None, "s", [event("e1", "late", after_ms=5, offset=9), event("e1", "early", offset=4)])

    step = saga.steps["e1"]
    assert step.seen is not None
    assert step.seen.type == "early"
    assert step.copies == (Position("orders", 0, 4), Position("orders", 0, 9))


def test_a_frame_sent_twice_is_no_duplicate() -> None:
    saga = fold(None, "s", [event("e1", "order.placed"), event("e1", "order.placed")])

    assert saga.steps["e1"].copies == ()


def test_a_receipt_may_come_before_its_event() -> None:
    early = fold(None, "s", [receipt("e1", "inventory")])
    assert early.steps["e1"].seen is None

    assert fold(early, "s", [event("e1", "order.placed")]) == fold(
        None, "s", [event("e1", "order.placed"), receipt("e1", "inventory")]
    )


def test_an_event_once_handled_stays_handled_when_its_repeat_fails() -> None:
    saga = fold(None, "s", [receipt("e1", "a"), receipt("e1", "a", "dead-lettered", after_ms=500)])

    assert saga.steps["e1"].handlings[0].standing.outcome == "handled"
    assert len(saga.steps["e1"].handlings[0].attempts) == 2


def test_a_dead_letter_that_is_sent_again_is_retried_and_handled() -> None:
    told: list[Observation] = [receipt("e1", "a", "dead-lettered", attempt=5, error="Timeout")]
    told += [receipt("e1", "a", "retrying", after_ms=900, attempt=1, error="Timeout")]
    assert fold(None, "s", told).steps["e1"].handlings[0].standing.outcome == "retrying"

    told += [receipt("e1", "a", after_ms=950, attempt=2)]
    assert fold(None, "s", told).steps["e1"].handlings[0].standing.outcome == "handled"


def test_a_record_key_that_is_the_id_of_the_saga_is_no_business_key() -> None:
    saga = fold(None, "s", [event("e1", "order.placed", key="s")])

    assert saga.steps["e1"].seen is not None
    assert saga.steps["e1"].seen.key == ""


def test_a_long_failure_message_is_cut() -> None:
    fact = receipt("e1", "a", "dead-lettered", error="E", message="x" * 4096)
    assert fact.failure == Failure("E", "x" * 4096)

    assert len(fold(None, "s", [fact]).steps["e1"].handlings[0].standing.message) == MESSAGE_LENGTH_MAX


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(
            [event("e", "t", after_ms=i % 3, offset=i) for i in range(2 * COPIES_MAX)],
            id="copies of an event",
        ),
        pytest.param([receipt("e", f"s{i}") for i in range(2 * HANDLINGS_MAX)], id="handlers of an event"),
        pytest.param(
            [receipt("e", "a", "retrying", after_ms=i, attempt=i) for i in range(2 * ATTEMPTS_MAX)],
            id="attempts of a handler",
        ),
        pytest.param([event(f"e{i}", "t") for i in range(STEPS_MAX + 500)], id="steps of a saga"),
    ],
)
def test_a_limit_keeps_the_same_facts_whatever_their_order(told: list[Observation]) -> None:
    expected = encode_saga(fold(None, "s", told))
    random = Random(7)
    for _ in range(3):
        random.shuffle(told)
        saga: Saga | None = None
        third = len(told) // 3
        for batch in (told[:third], told[third : 2 * third], told[2 * third :], told[:third]):
            saga = fold(saga, "s", batch)
        assert encode_saga(saga) == expected


def test_a_saga_beyond_its_limit_says_so_and_keeps_the_event_it_is_named_after() -> None:
    full = fold(None, "zzz", [event(f"e{i:05}", "t") for i in range(STEPS_MAX)])
    assert (full.sample, full.events) == (None, STEPS_MAX)

    saga = fold(full, "zzz", [event("zzz", "order.placed")])

    assert saga.sample is not None
    assert len(saga.steps) < STEPS_MAX
    assert "zzz" in saga.steps
    assert list(saga.sample.marks) == ["order.placed", "t"]


@pytest.mark.parametrize("events", [1_000, 10_000, 100_000])
def test_how_many_events_there_are_is_told_from_the_sample(events: int) -> None:
    saga: Saga | None = None
    for first in range(0, events, 1_000):
        saga = fold(saga, "s", [event(f"e{i}", "t") for i in range(first, first + 1_000)])

    assert saga is not None
    assert len(saga.steps) <= STEPS_MAX
    assert saga.events == pytest.approx(events, rel=0.2)


def test_what_lies_beyond_the_limit_changes_nothing() -> None:
    full = fold(None, "s", [event(f"e{i:05}", "t") for i in range(2 * STEPS_MAX)])
    beyond = [event(f"f{i:05}", "t", after_ms=9) for i in range(100)]
    unknown = [fact for fact in beyond if fold(full, "s", [fact]) is full]

    assert len(unknown) > 25
    assert fold(full, "s", [*unknown, *(receipt(fact.id, "inventory") for fact in unknown)]) is full


def test_of_each_type_the_first_events_are_known_beyond_the_limit() -> None:
    told = [event(f"e{i}", f"t{i % 3}", after_ms=i) for i in range(2 * STEPS_MAX)]
    saga = fold(None, "s", told)

    assert saga.sample is not None
    for name, marks in saga.sample.marks.items():
        assert [mark.event for mark in marks] == [e.id for e in told if e.type == name][:MARKS_PER_TYPE_MAX]


def test_a_payload_that_is_read_the_second_time_only_is_kept_beyond_the_limit() -> None:
    told = [event(f"e{i}", "t", after_ms=i) for i in range(2 * STEPS_MAX)]
    first = structs.replace(told[0], data=b'{"value": 1}')
    for facts in ([*told, first], [first, *told]):
        saga = fold(fold(None, "s", facts[:600]), "s", facts[600:])
        assert saga.sample is not None
        assert saga.sample.marks["t"][0].data == b'{"value": 1}'


def test_of_very_many_types_the_first_by_name_are_known_beyond_the_limit() -> None:
    told = [event(f"e{i}", f"t{i % 300:03}") for i in range(2 * STEPS_MAX)]
    for facts in (told, told[::-1]):
        saga = fold(fold(None, "s", facts[:700]), "s", facts[700:])
        assert saga.sample is not None
        assert list(saga.sample.marks) == [f"t{i:03}" for i in range(MARKED_TYPES_MAX)]


def test_a_saga_can_be_made_thinner_until_only_its_first_event_is_left() -> None:
    saga = fold(None, "s", [event("s", "t"), *(event(f"e{i}", "t", after_ms=i) for i in range(20))])
    while (after := thinner(saga)) is not saga:
        assert len(after.steps) <= len(saga.steps)
        saga = after

    assert list(saga.steps) == ["s"]
    assert saga.sample is not None
    assert len(saga.sample.marks["t"]) == MARKS_PER_TYPE_MAX


def test_a_saga_was_heard_of_last_at_its_newest_fact_but_not_in_the_future() -> None:
    saga = fold(None, "s", [event("e", "t", after_ms=25_000), receipt("e", "inventory", after_ms=31_000)])
    assert saga.heard_ms == NOON_MS + 30_000
    assert fold(saga, "s", [event("e2", "t")]).heard_ms == NOON_MS + 30_000
    later = fold(saga, "s", [event("e2", "t", after_ms=10**9)], latest_ms=NOON_MS + 60_000)
    assert later.heard_ms == NOON_MS + 60_000


def test_history_that_is_imported_is_heard_of_when_it_is_imported() -> None:
    old = structs.replace(event("e", "t", after_ms=-(10**10)), recorded_ms=NOON_MS)
    assert fold(None, "s", [old]).heard_ms == NOON_MS


def test_the_largest_ordinary_saga_fits_into_a_kafka_record() -> None:
    event_id = "0193a7c2-51e0-7d3c-9a1f-{:012}"
    told: list[Observation] = []
    for i in range(STEPS_MAX):
        told.append(event(event_id.format(i), "payment.charged", cause=event_id.format(i - 1), offset=10**6))
        told.append(receipt(event_id.format(i), "inventory", handler="on_payment_charged"))
    for i in range(CHILDREN_MAX):
        told.append(ChildBegun(event_id.format(i), "payment.charged", event_id.format(i), NOON_MS + i))

    assert len(encode_saga(fold(None, "s", told))) < 1_000_000


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\x93\x01\xa1\xff\x80", b'{"id": "json"}', b"\x01"])
def test_foreign_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(UnreadableSaga, match="no saga of format version 4"):
        decode_saga(value)


def test_a_saga_of_another_format_is_refused_with_the_way_out() -> None:
    with pytest.raises(UnreadableSaga, match="format version 5, but this tracker reads 4"):
        decode_saga(encode_saga(Saga(5, "s", -1, -1, {})))
