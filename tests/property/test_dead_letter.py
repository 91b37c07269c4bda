"""Dead letters of all families: what they say is read, and nothing they hold makes the reader fail."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from saga.core.delivery import Delivery, dead_letter
from saga.core.envelope import Envelope
from saga.core.redrive import Redrive, read_redrive
from tracker.core.dead_letter import Letter, Place, read_letter, read_place, without_errors

AT = Place("saga.dlq.payments", 2, 17)
ENVELOPE = Envelope("e-1", "order.placed", "orders", "saga-1", 0, "e-0")
NAMES = [
    *(f"__streams.errors.{name}" for name in ("exception", "message", "stacktrace", "topic", "offset")),
    *(f"__connect.errors.{name}" for name in ("topic", "partition", "offset", "connector.name", "task.id")),
    *(f"kafka_dlt-original-{name}" for name in ("topic", "partition", "offset", "consumer-group")),
    *(f"kafka_dlt-exception-{name}" for name in ("fqcn", "message", "stacktrace")),
    *(f"saga_dlq_{name}" for name in ("service", "handler", "attempts", "failed_ms", "replays")),
    *(f"saga_redrive_{name}" for name in ("for", "letter", "batch", "replays", "original")),
    *("exception-type", "exception-message", "failed-at", "original-destination", "attempts"),
    *("ce_id", "ce_type", "ce_source", "ce_correlationid", "mine"),
]
texts = st.text(st.characters(codec="utf-8"), max_size=30)
topics = st.from_regex(r"[a-z][a-z0-9._-]{0,20}", fullmatch=True)
partitions = st.integers(0, 9_999)
offsets = st.integers(0, 2**62)
hostile = st.lists(
    st.tuples(
        st.sampled_from(NAMES) | st.text(max_size=10),
        st.none() | st.binary(max_size=12) | st.sampled_from([b"9" * 40, b"-1", b"\xff\xff\xff\xff", b""]),
    ),
    max_size=30,
)
business = st.lists(
    st.tuples(st.sampled_from(["mine", "ce_subject", "attempts", "kafka_id"]), st.binary(max_size=8)),
    max_size=5,
).map(lambda more: [*ENVELOPE.headers(), *more])


def read(headers: list[tuple[str, bytes]]) -> Letter:
    return read_letter(headers, AT, 1_000)


@given(hostile)
def test_whatever_stands_in_headers_can_be_read(headers: list[tuple[str, bytes | None]]) -> None:
    letter = read_letter(headers, AT, 1_000)

    assert letter.at == AT
    assert letter.original.partition >= -1
    assert -1 <= letter.original.offset < 2**63
    assert letter.replays >= 0
    assert len(letter.error) <= 300
    again = without_errors(headers)
    assert without_errors(again) == again
    assert read_letter(again, AT, 1_000).family == ""


@given(business, topics, partitions, offsets, texts, st.integers(1, 99), st.integers(1, 2**42))
def test_ours(
    sent: list[tuple[str, bytes]],
    topic: str,
    partition: int,
    offset: int,
    message: str,
    attempts: int,
    at_ms: int,
) -> None:
    delivery = Delivery(topic, partition, offset, attempts, first_failed_ms=at_ms)
    output = dead_letter("payments", "charge", delivery, ValueError(message), at_ms + 5, (b"k", b"{}", sent))
    letter = read(output.headers)

    assert (letter.family, letter.service, letter.handler) == ("saga", "payments", "charge")
    assert letter.original == Place(topic, partition, offset)
    assert (letter.error, letter.message) == ("ValueError", message)
    assert (letter.attempts, letter.first_failed_ms, letter.at_ms) == (attempts, at_ms, at_ms + 5)
    assert (letter.type, letter.event, letter.saga) == ("order.placed", "e-1", "saga-1")
    assert without_errors(output.headers) == sent


@given(business, topics, partitions, offsets, texts)
def test_kafka_streams(
    sent: list[tuple[str, bytes]], topic: str, partition: int, offset: int, message: str
) -> None:
    added = [
        ("__streams.errors.exception", b"java.lang.IllegalStateException"),
        ("__streams.errors.stacktrace", b"at x"),
        ("__streams.errors.message", message.encode()),
        ("__streams.errors.topic", topic.encode()),
        ("__streams.errors.partition", b"%d" % partition),
        ("__streams.errors.offset", b"%d" % offset),
    ]
    letter = read([*sent, *added])

    assert (letter.family, letter.service, letter.attempts) == ("streams", "", -1)
    assert letter.original == Place(topic, partition, offset)
    assert (letter.error, letter.message) == ("java.lang.IllegalStateException", message)
    assert letter.at_ms == 1_000
    assert without_errors([*sent, *added]) == sent


@given(business, topics, partitions, offsets, texts, st.booleans())
def test_spring(
    sent: list[tuple[str, bytes]], topic: str, partition: int, offset: int, message: str, retried: bool
) -> None:
    def original(topic: str, partition: int, offset: int) -> list[tuple[str, bytes]]:
        return [
            ("kafka_dlt-original-topic", topic.encode()),
            ("kafka_dlt-original-partition", struct.pack(">i", partition)),
            ("kafka_dlt-original-offset", struct.pack(">q", offset)),
        ]

    added = [
        *original(topic, partition, offset),
        *(original("orders-retry-0", 7, 8) if retried else []),
        ("retry_topic-attempts", struct.pack(">i", 3)),
        ("kafka_dlt-original-consumer-group", b"billing"),
        ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
        ("kafka_dlt-exception-cause-fqcn", b"java.lang.NullPointerException"),
        ("kafka_dlt-exception-message", message.encode()),
    ]
    letter = read([*sent, *added])

    assert (letter.family, letter.service, letter.attempts) == ("spring", "billing", 3)
    assert letter.original == Place(topic, partition, offset)
    assert (letter.error, letter.message) == ("java.lang.NullPointerException", message)
    assert without_errors([*sent, *added]) == sent


@given(business, topics, partitions, offsets)
def test_kafka_connect(sent: list[tuple[str, bytes]], topic: str, partition: int, offset: int) -> None:
    told = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "connector.name": "orders-to-s3",
        "task.id": "0",
        "stage": "VALUE_CONVERTER",
        "class.name": "JsonConverter",
        "exception.class.name": "DataException",
        "exception.message": "no JSON",
    }
    added = [(f"__connect.errors.{name}", text.encode()) for name, text in told.items()]
    letter = read([*sent, *added])

    assert (letter.family, letter.service, letter.handler) == ("connect", "orders-to-s3", "JsonConverter")
    assert letter.original == Place(topic, partition, offset)
    assert (letter.error, letter.message) == ("DataException", "no JSON")
    assert without_errors([*sent, *added]) == sent


@given(topics, partitions, offsets, st.booleans())
def test_wolverine(topic: str, partition: int, offset: int, uri: bool) -> None:
    added = [
        ("exception-type", b"System.TimeoutException"),
        ("exception-message", b"too slow"),
        ("exception-stack", b"at X"),
        ("failed-at", b"1700000000000"),
        ("original-destination", f"kafka://topic/{topic}".encode() if uri else topic.encode()),
        ("original-partition", b"%d" % partition),
        ("original-offset", b"%d" % offset),
        ("attempts", b"4"),
    ]
    letter = read([*ENVELOPE.headers(), *added])

    assert (letter.family, letter.attempts, letter.at_ms) == ("wolverine", 4, 1_700_000_000_000)
    assert letter.original == Place(topic, partition, offset)
    assert (letter.error, letter.message) == ("System.TimeoutException", "too slow")
    assert without_errors([*ENVELOPE.headers(), *added]) == ENVELOPE.headers()


@given(st.integers(0, 999), st.none() | st.binary(max_size=20))
def test_a_letter_that_failed_again_knows_how_often_it_was_redriven(
    replays: int, original: bytes | None
) -> None:
    back = Redrive("saga.dlq.payments/0/1", "b-1", replays, "payments", "charge", original)
    headers = [*ENVELOPE.headers(), *back.headers()]
    again = dead_letter(
        "payments", "charge", Delivery("orders", 0, 9), ValueError(), 9, (None, None, headers)
    )
    letter = read(again.headers)

    assert (letter.replays, letter.batch) == (replays, "b-1")
    assert without_errors(again.headers) == ENVELOPE.headers()


@given(topics, partitions, offsets)
def test_a_place_is_read_as_it_is_written(topic: str, partition: int, offset: int) -> None:
    assert read_place(str(Place(topic, partition, offset))) == Place(topic, partition, offset)


@given(
    st.text(max_size=20) | st.sampled_from(["a/b/c", "a/1/", "a//1", "/1/2", "a/1/2/3", "a/-1/2", "a/²/1"])
)
def test_what_is_no_place_is_none(text: str) -> None:
    place = read_place(text)
    assert place is None or str(place).split("/")[0] == text.split("/")[0]


@given(hostile)
def test_a_redrive_is_read_from_whatever_headers(headers: list[tuple[str, bytes | None]]) -> None:
    found = read_redrive(headers)
    assert found is None or found.replays >= 0
