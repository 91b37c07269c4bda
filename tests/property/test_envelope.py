"""The envelope survives the wire, and no bytes on the wire get further than `NotAnEvent`."""

import contextlib
import json
from string import printable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from saga.core.envelope import (
    ID_LENGTH_MAX,
    Envelope,
    is_structured,
    read_envelope,
    read_structured,
    rfc3339,
)
from saga.core.errors import NotAnEvent

NAMES = [
    "ce_id",
    "id",
    "ce_source",
    "ce_type",
    "ce_time",
    "ce_specversion",
    "ce_correlationid",
    "ce_proteancorrelationid",
    "correlationid",
    "ce_causationid",
    "causationid",
    "ce_parentcorrelationid",
    "ce_dataschema",
    "content-type",
    "traceparent",
    "tracestate",
]
YEAR_9999_MS = 253_402_300_799_999

text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=ID_LENGTH_MAX)
envelopes = st.builds(
    Envelope,
    id=text,
    type=text,
    source=text,
    saga=text,
    time_ms=st.integers(-62_135_596_800_000, YEAR_9999_MS),
    cause=st.none() | text,
    version=st.integers(1, 999_999_999),
    traceparent=st.none() | text,
    parent=st.none() | text,
).flatmap(
    lambda envelope: (
        st.just(envelope)
        if envelope.traceparent is None
        else text.map(lambda state: structs.replace(envelope, tracestate=state))
    )
)


@given(envelopes)
def test_an_envelope_is_what_its_headers_say(envelope: Envelope) -> None:
    assert read_envelope(envelope.headers(), record_time_ms=0) == envelope


@given(st.lists(st.tuples(st.sampled_from(NAMES) | st.text(), st.none() | st.binary())))
def test_arbitrary_headers_are_an_event_or_not_one(headers: list[tuple[str, bytes | None]]) -> None:
    with contextlib.suppress(NotAnEvent):
        envelope = read_envelope(headers, record_time_ms=1)
        assert envelope.id
        assert envelope.saga


@given(st.sampled_from(NAMES), st.binary() | st.text(printable).map(str.encode) | st.none())
def test_any_value_of_one_header_of_an_event_makes_it_one_or_not(name: str, value: bytes | None) -> None:
    headers: dict[str, bytes | None] = dict(Envelope("e", "t", "s", "g", 0, "c", 2, "00-1", "x=y").headers())
    headers[name] = value
    with contextlib.suppress(NotAnEvent):
        read_envelope(headers.items(), record_time_ms=1)


def test_a_version_of_thousands_of_digits_is_none() -> None:
    headers = [("ce_id", b"e"), ("ce_type", b"t"), ("ce_source", b"s"), ("ce_dataschema", b"9" * 5_000)]

    assert read_envelope(headers, record_time_ms=0).version == 1


def test_an_event_without_correlation_begins_a_saga_under_its_own_id() -> None:
    envelope = read_envelope([("id", b"e-1"), ("ce_type", b"t"), ("ce_source", b"s")], record_time_ms=5)

    assert envelope == Envelope("e-1", "t", "s", "e-1", 5)


@pytest.mark.parametrize("missing", ["ce_id", "ce_type", "ce_source"])
@pytest.mark.parametrize("instead", [[], [b""], [None]])
def test_an_event_lacks_nothing_that_cloudevents_requires(missing: str, instead: list[bytes | None]) -> None:
    headers: list[tuple[str, bytes | None]] = [
        header for header in Envelope("e", "t", "s", "g", 0).headers() if header[0] != missing
    ]
    headers += [(missing, value) for value in instead]

    with pytest.raises(NotAnEvent, match=missing):
        read_envelope(headers, record_time_ms=0)


@pytest.mark.parametrize("name", ["ce_id", "ce_correlationid"])
def test_an_id_too_long_for_the_trackers_store_is_refused(name: str) -> None:
    headers = dict(Envelope("e", "t", "s", "g", 0).headers()) | {name: b"x" * (ID_LENGTH_MAX + 1)}

    with pytest.raises(NotAnEvent, match="longer than 256"):
        read_envelope(headers.items(), record_time_ms=0)


@given(st.integers(-62_135_596_800_000, YEAR_9999_MS))
def test_times_survive_to_the_millisecond(time_ms: int) -> None:
    headers = [*Envelope("e", "t", "s", "g", 0).headers(), ("ce_time", rfc3339(time_ms))]

    assert read_envelope(headers, record_time_ms=0).time_ms == time_ms


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        (b"1970-01-01T00:00:01Z", 1_000),
        (b"1970-01-01T01:00:00+01:00", 0),
        (b"1970-01-01T00:00:00.123456789Z", 123),
        (b"1970-01-01T00:00:00", 0),
    ],
)
def test_times_of_other_producers_are_read(text: bytes, time_ms: int) -> None:
    headers = [*Envelope("e", "t", "s", "g", 9).headers(), ("ce_time", text)]

    assert read_envelope(headers, record_time_ms=7).time_ms == time_ms


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(envelopes, st.dictionaries(st.text(), json_values))
def test_an_event_in_structured_mode_is_the_same_event(envelope: Envelope, data: dict[str, object]) -> None:
    assume(envelope.tracestate is None)
    attributes = {
        "specversion": "1.0",
        "id": envelope.id,
        "type": envelope.type,
        "source": envelope.source,
        "time": rfc3339(envelope.time_ms).decode(),
        "correlationid": envelope.saga,
        "causationid": envelope.cause,
        "parentcorrelationid": envelope.parent,
        "dataschema": f"urn:saga:event:{envelope.version}",
        "traceparent": envelope.traceparent,
        "data": data,
    }
    value = json.dumps(attributes).encode()

    read, read_data = read_structured(value, record_time_ms=0)
    assert read == envelope
    assert json.loads(read_data) == data


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_an_arbitrary_structured_value_is_an_event_or_not_one(value: bytes) -> None:
    with contextlib.suppress(NotAnEvent):
        read_structured(value, record_time_ms=0)


@pytest.mark.parametrize(
    "value",
    [
        b'{"id":' + b"[" * 100_000,
        b'{"id": "e", "type": "t", "source": "s", "time": 5}',
        b'{"id": "e", "type": "t", "source": "s", "data_base64": "*"}',
        b"",
    ],
)
def test_a_broken_structured_value_is_not_an_event(value: bytes) -> None:
    with pytest.raises(NotAnEvent):
        read_structured(value, record_time_ms=0)


def test_structured_data_may_come_as_base64() -> None:
    value = b'{"id": "e", "type": "t", "source": "s", "data_base64": "eyJhIjoxfQ=="}'

    assert read_structured(value, record_time_ms=0)[1] == b'{"a":1}'


@pytest.mark.parametrize(
    ("headers", "structured"),
    [
        ([("content-type", b"application/cloudevents+json; charset=utf-8")], True),
        ([("Content-Type", b"Application/CloudEvents")], True),
        ([("content-type", b"application/json")], False),
        ([("content-type", None)], False),
        ([], False),
    ],
)
def test_the_content_type_tells_the_mode(headers: list[tuple[str, bytes | None]], structured: bool) -> None:
    assert is_structured(headers) == structured
