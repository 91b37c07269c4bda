"""Retry topics and dead letters: what is added, what is stripped, what stays as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga.core.delivery import (
    MESSAGE_LENGTH_MAX,
    STACKTRACE_LENGTH_MAX,
    Delivery,
    dead_letter,
    dead_letter_topic,
    error_text,
    qualified_name,
    read_delivery,
    retry_output,
    retry_topic,
    without_delivery,
)
from saga.core.envelope import Envelope

keys = st.none() | st.binary(max_size=20)
names = st.text(min_size=1, max_size=20).filter(
    lambda name: not name.startswith(("saga_retry_", "saga_dlq_", "__streams"))
)
headers = st.lists(st.tuples(names, st.binary(max_size=20)), max_size=8)
deliveries = st.builds(
    Delivery,
    topic=st.text(st.characters(codec="ascii", categories=["L"]), min_size=1),
    partition=st.integers(0, 999),
    offset=st.integers(0, 2**62),
    attempt=st.integers(2, 99),
    due_ms=st.integers(0, 2**42),
    first_failed_ms=st.integers(1, 2**42),
)
ENVELOPE = Envelope("e-1", "order.placed", "orders", "saga-1", 0, "e-0")


@given(deliveries, keys, keys, headers)
def test_a_retry_tells_the_next_attempt_everything_and_leaves_the_event_as_it_was(
    delivery: Delivery, key: bytes | None, value: bytes | None, sent: list[tuple[str, bytes]]
) -> None:
    output = retry_output("saga.retry.x.1m", delivery, key, value, sent)

    assert (output.topic, output.key, output.value) == ("saga.retry.x.1m", key, value)
    assert read_delivery(output.headers, "saga.retry.x.1m", 5, 6) == delivery
    assert without_delivery(output.headers) == sent


@given(st.lists(deliveries, min_size=1, max_size=4), headers)
def test_headers_do_not_grow_from_retry_to_retry(many: list[Delivery], sent: list[tuple[str, bytes]]) -> None:
    carried = sent
    for delivery in many:
        carried = retry_output("t", delivery, None, b"", carried).headers

    assert len(carried) == len(sent) + 6
    assert read_delivery(carried, "t", 0, 0) == many[-1]


@given(deliveries, keys, keys, headers, st.text(max_size=50))
def test_a_dead_letter_has_the_event_untouched_and_no_attempt_headers(
    delivery: Delivery, key: bytes | None, value: bytes | None, sent: list[tuple[str, bytes]], text: str
) -> None:
    retried = retry_output("t", delivery, key, value, sent).headers
    output = dead_letter("orders", "place", delivery, ValueError(text), 9, (key, value, retried))

    assert (output.topic, output.key, output.value) == ("saga.dlq.orders", key, value)
    assert output.headers[: len(sent)] == sent
    added = dict(output.headers[len(sent) :])
    assert not any(name.startswith("saga_retry_") for name in added)
    assert added["__streams.errors.exception"] == b"ValueError"
    assert added["__streams.errors.message"].decode() == text
    assert added["__streams.errors.topic"].decode() == delivery.topic
    assert int(added["__streams.errors.partition"]) == delivery.partition
    assert int(added["__streams.errors.offset"]) == delivery.offset
    assert int(added["saga_dlq_attempts"]) == delivery.attempt
    assert int(added["saga_dlq_first_failed_ms"]) == delivery.first_failed_ms
    assert int(added["saga_dlq_failed_ms"]) == 9


def test_a_dead_letter_that_dies_again_has_each_header_once() -> None:
    record = (b"k", b"{}", ENVELOPE.headers())
    first = dead_letter("orders", "place", Delivery("orders", 0, 1), ValueError("one"), 1, record)
    again = dead_letter(
        "orders", "place", Delivery("orders", 0, 9), ValueError("two"), 2, (b"k", b"{}", first.headers)
    )

    names = [name for name, _ in again.headers]
    assert len(names) == len(set(names))
    assert dict(again.headers)["__streams.errors.message"] == b"two"


def test_texts_of_errors_are_bounded() -> None:
    def deep(levels: int) -> None:
        if levels == 0:
            raise ValueError("x" * 100_000)
        deep(levels - 1)

    with pytest.raises(ValueError, match="x") as caught:
        deep(50)
    output = dead_letter("orders", "place", Delivery("orders", 0, 1), caught.value, 1, (None, None, []))

    added = dict(output.headers)
    assert len(added["__streams.errors.message"]) == MESSAGE_LENGTH_MAX
    assert len(added["__streams.errors.stacktrace"]) == STACKTRACE_LENGTH_MAX


def test_an_error_whose_text_can_not_be_had_or_written_still_has_one() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert "Unspeakable has no readable message" in error_text(Unspeakable())
    assert error_text(FileNotFoundError("caf\udce9")) == "caf?"


def test_the_first_failure_is_remembered_over_all_retries() -> None:
    once = Delivery("orders", 0, 1).failed(at_ms=100, due_ms=200)
    twice = once.failed(at_ms=300, due_ms=400)

    assert (once.attempt, once.due_ms, once.first_failed_ms) == (2, 200, 100)
    assert (twice.attempt, twice.due_ms, twice.first_failed_ms) == (3, 400, 100)


@pytest.mark.parametrize(
    "sent",
    [
        [],
        ENVELOPE.headers(),
        [("saga_retry_attempt", b"2")],
        [("saga_retry_attempt", None)],
        [("saga_retry_topic", None), ("saga_retry_attempt", b"2")],
        [*((f"saga_retry_{name}", b"x") for name in ("topic", "partition", "offset", "attempt", "due_ms"))],
        [(f"saga_retry_{name}", None) for name in ("topic", "partition", "offset", "due_ms", "attempt")],
    ],
)
def test_a_record_without_our_headers_is_a_first_attempt_where_it_stands(
    sent: list[tuple[str, bytes]],
) -> None:
    assert read_delivery(sent, "orders", 3, 4) == Delivery("orders", 3, 4)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["topic", "partition", "offset", "attempt", "due_ms", "first_failed_ms"]).map(
                "saga_retry_".__add__
            ),
            st.binary(),
        )
    )
)
def test_arbitrary_retry_headers_never_raise(sent: list[tuple[str, bytes]]) -> None:
    assert read_delivery(sent, "orders", 3, 4)


def test_topics_are_named_after_service_and_delay() -> None:
    assert retry_topic("payments", 10_000) == "saga.retry.payments.10s"
    assert dead_letter_topic("payments") == "saga.dlq.payments"


def test_an_exception_has_the_name_that_python_prints() -> None:
    assert qualified_name(TimeoutError()) == "TimeoutError"
    assert qualified_name(json.JSONDecodeError("", "", 0)) == "json.decoder.JSONDecodeError"
