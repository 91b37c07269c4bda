"""The envelope of an event: CloudEvents 1.0 attributes as Kafka headers, binary content mode.

Source: CloudEvents 1.0.2, Kafka protocol binding; the correlation extension (`correlationid`,
`causationid`) as on the specification's main branch since pull request 1353. `parentcorrelationid`
is an extension of our own: CloudEvents knows no transaction that another one began.
"""

from base64 import b64decode
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import DecodeError, Struct, json

from saga.core.errors import NotAnEvent

Headers = Iterable[tuple[str, bytes | None]]

ID_LENGTH_MAX = 256
"""Longer ids than this are refused: ids are keys of the tracker's store."""

_VERSION_DIGITS_MAX = 9

_OWN_TIME_LENGTH = 24
_POINT, _Z = b".Z"
_SECONDS_MAX = 100

CONTENT_TYPE = "application/json"
STRUCTURED = "application/cloudevents"
SCHEMA_PREFIX = "urn:saga:event:"

_CORRELATION_ALIASES = ("ce_proteancorrelationid", "correlationid")
_TRACE_CONTEXT = ("traceparent", "tracestate")
_CAUSATION_ALIASES = ("ce_proteancausationid", "causationid")


class Envelope(Struct, frozen=True, gc=False):
    """Who an event is: everything but its data.

    Attributes
    ----------
    id : unique together with `source`; the key of de-duplication.
    saga : id of the business transaction (`correlationid`); the event's own id where none was sent.
    cause : id of the event that caused this one (`causationid`); None for a first event.
    time_ms : when it occurred, milliseconds since the Unix epoch.
    version : of the event's schema; 1 where no `dataschema` was sent.
    traceparent, tracestate : W3C trace context of the producing span, if any.
    parent : the saga of `cause`, where this event begins another one (`parentcorrelationid`).
    """

    id: str
    type: str
    source: str
    saga: str
    time_ms: int
    cause: str | None = None
    version: int = 1
    traceparent: str | None = None
    tracestate: str | None = None
    parent: str | None = None

    def headers(self) -> list[tuple[str, bytes]]:
        """The envelope as Kafka headers."""
        found = [
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", self.id.encode()),
            ("ce_source", self.source.encode()),
            ("ce_type", self.type.encode()),
            ("ce_time", rfc3339(self.time_ms)),
            ("ce_correlationid", self.saga.encode()),
        ]
        if self.cause is not None:
            found.append(("ce_causationid", self.cause.encode()))
        if self.parent is not None:
            found.append(("ce_parentcorrelationid", self.parent.encode()))
        if self.version != 1:
            found.append(("ce_dataschema", f"{SCHEMA_PREFIX}{self.type}:{self.version}".encode()))
        if self.traceparent is not None:
            found.append(("traceparent", self.traceparent.encode()))
            if self.tracestate is not None:
                found.append(("tracestate", self.tracestate.encode()))
        return found


def read_envelope(headers: Headers, *, record_time_ms: int) -> Envelope:
    """Read the envelope from the headers of a record in binary content mode.

    An event without `correlationid` begins a saga under its own id: so producers that send only
    what CloudEvents requires can start one. `id` without the prefix counts as well, since that is
    what Debezium's outbox router writes.

    Raises
    ------
    NotAnEvent
        A required header is missing, empty, too long or not UTF-8; the message names it.
    """
    found = dict(headers)
    get = found.get
    named = get("ce_id") or get("id")
    event_type, source = get("ce_type"), get("ce_source")
    if not (named and event_type and source):
        missing = "ce_id" if not named else "ce_type" if not event_type else "ce_source"
        raise NotAnEvent(f"header {missing} is missing: the record is not a CloudEvent")
    time, schema = get("ce_time"), get("ce_dataschema")
    traceparent, tracestate = get("traceparent"), get("tracestate")
    correlation = get("ce_correlationid") or _alias(found, _CORRELATION_ALIASES)
    causation = get("ce_causationid") or _alias(found, _CAUSATION_ALIASES)
    parent = get("ce_parentcorrelationid")
    try:
        event_id = named.decode()
        saga = correlation.decode() if correlation else event_id
        envelope = Envelope(
            event_id,
            event_type.decode(),
            source.decode(),
            saga,
            record_time_ms if time is None else _time_ms(time),
            causation.decode() if causation else None,
            1 if schema is None else _version(schema.decode()),
            None if traceparent is None else traceparent.decode(),
            None if traceparent is None or tracestate is None else tracestate.decode(),
            parent.decode() if parent else None,
        )
    except UnicodeDecodeError as error:
        raise NotAnEvent(f"a CloudEvents header is not UTF-8: {error}") from error
    if len(event_id) > ID_LENGTH_MAX or len(saga) > ID_LENGTH_MAX:
        raise NotAnEvent(f"ce_id or ce_correlationid is longer than {ID_LENGTH_MAX} characters")
    return envelope


def is_structured(headers: Headers) -> bool:
    """Whether the record carries the whole event in its value (structured content mode)."""
    for name, value in headers:
        if name.lower() == "content-type" and value is not None:
            return value.lower().startswith(STRUCTURED.encode())
    return False


def read_structured(value: bytes, *, record_time_ms: int) -> tuple[Envelope, bytes]:
    """Read an event in structured JSON mode: its envelope and the bytes of its `data`.

    Raises
    ------
    NotAnEvent
        The value is no JSON object, or lacks a required attribute.
    """
    try:
        attributes = json.decode(value, type=dict[str, object])
    except (DecodeError, RecursionError) as error:
        raise NotAnEvent(f"the structured CloudEvent is not JSON: {error}") from error
    data, data_base64 = attributes.pop("data", None), attributes.pop("data_base64", None)
    headers = [
        (name if name in _TRACE_CONTEXT else f"ce_{name}", str(attribute).encode())
        for name, attribute in attributes.items()
        if attribute is not None
    ]
    envelope = read_envelope(headers, record_time_ms=record_time_ms)
    return envelope, json.encode(data) if data_base64 is None else _from_base64(data_base64)


def _from_base64(data: object) -> bytes:
    try:
        return b64decode(str(data), validate=True)
    except ValueError as error:
        raise NotAnEvent(f"data_base64 of the structured CloudEvent is not base64: {error}") from error


def rfc3339(time_ms: int) -> bytes:
    """Milliseconds since the epoch as an RFC 3339 timestamp in UTC."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return b"%s.%03dZ" % (_second(seconds), milliseconds)


def _second(seconds: int, _cache: dict[int, bytes] = {}) -> bytes:  # noqa: B006 - a cache of one
    # Events of one batch share their second, and formatting a datetime is what the batch pays for.
    text = _cache.get(seconds)
    if text is None:
        _cache.clear()
        text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat().encode()
        _cache[seconds] = text
    return text


def _time_ms(time: bytes) -> int:
    # Our own form, 2025-10-09T12:00:00.000Z, of which many events share the second.
    if len(time) == _OWN_TIME_LENGTH and time[19] == _POINT and time[23] == _Z and time[20:23].isdigit():
        return _second_ms(time[:19]) + int(time[20:23])
    return _parsed_ms(time)


def _second_ms(second: bytes, _cache: dict[bytes, int] = {}) -> int:  # noqa: B006 - a small cache
    found = _cache.get(second)
    if found is None:
        if len(_cache) >= _SECONDS_MAX:
            _cache.clear()
        found = _cache[second] = _parsed_ms(second)
    return found


def _parsed_ms(time: bytes) -> int:
    try:
        moment = datetime.fromisoformat(time.decode())
    except ValueError as error:
        raise NotAnEvent(f"ce_time is not an RFC 3339 timestamp: {time!r}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _version(schema: str) -> int:
    """The number behind the last colon or slash; a schema without one is version 1."""
    tail = schema.replace("/", ":").rpartition(":")[2]
    return int(tail) if tail.isdecimal() and len(tail) <= _VERSION_DIGITS_MAX else 1


def _alias(found: dict[str, bytes | None], names: tuple[str, ...]) -> bytes | None:
    """What other frameworks call it."""
    for name in names:
        value = found.get(name)
        if value:
            return value
    return None
