"""A dead letter, whoever wrote it: four families of headers, and what our services add, in one form.

Sources: KIP-1034 (Kafka Streams, and what our services write), `DeadLetterPublishingRecoverer` of
Spring Kafka, KIP-298 (Kafka Connect), `DeadLetterQueueConstants` of Wolverine.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from saga.core.delivery import DEAD_LETTERS_PREFIX, MESSAGE_LENGTH_MAX, STACKTRACE_LENGTH_MAX
from saga.core.envelope import read_envelope
from saga.core.errors import NotAnEvent
from saga.core.redrive import REDRIVE_PREFIX, replays

NAME_LENGTH_MAX = 300
"""Characters of a topic, service, handler or class that are kept."""

_INT64_MAX = 2**63 - 1
_DIGITS_MAX = 19

Headers = Sequence[tuple[str, bytes | None]]
_Found = Mapping[str, bytes]


class Place(NamedTuple):
    """Where a record stands in Kafka; partition and offset are -1 where that is not known."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def whole(self) -> bool:
        """Whether it names one record."""
        return bool(self.topic) and self.partition >= 0 and self.offset >= 0


def read_place(text: str) -> Place | None:
    """A place from how it is written, `saga.dlq.payments/0/17`; None if it is none."""
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    place = Place(topic, _number(partition.encode()), _number(offset.encode()))
    return place if place.whole else None


class Letter(Struct, frozen=True, gc=False):
    """What a dead letter says of itself. Texts are "" and numbers -1 where it does not say.

    Attributes
    ----------
    at : where it stands.
    original : where the event stood that was given up.
    at_ms : when it was given up, milliseconds since the Unix epoch.
    family : whose headers these are: saga, streams, spring, connect or wolverine.
    service : that gave it up: its consumer group, or the connector.
    type, event, saga : of its event; of one without headers of a CloudEvent nothing is known.
    error : class of the exception.
    attempts : how often it was tried.
    replays : how often it was redriven before; `batch` is the last of these redrives.
    """

    at: Place
    original: Place
    at_ms: int
    family: str = ""
    service: str = ""
    handler: str = ""
    type: str = ""
    event: str = ""
    saga: str = ""
    error: str = ""
    message: str = ""
    stack: str = ""
    attempts: int = -1
    first_failed_ms: int = -1
    replays: int = 0
    batch: str = ""


def gave_up(service: str, topic: str) -> str:
    """Who gave a letter up: where no header tells the service, the name of its topic does."""
    return service or topic.removeprefix(DEAD_LETTERS_PREFIX)


def read_letter(headers: Headers, at: Place, recorded_ms: int) -> Letter:
    """What these headers of the record at this place tell; never raises, whatever they hold."""
    known = _family(headers)
    told = _ANONYMOUS if known is None else _READERS[known](_last(headers), headers)
    found = _last(headers)
    type_, event, saga = _event(headers, recorded_ms)
    return Letter(
        at,
        told.original,
        recorded_ms if told.at_ms < 0 else told.at_ms,
        known or "",
        told.service,
        told.handler,
        type_,
        event,
        saga,
        told.error,
        told.message[:MESSAGE_LENGTH_MAX],
        told.stack[-STACKTRACE_LENGTH_MAX:],
        told.attempts,
        told.first_failed_ms,
        max(replays(headers), _number(found.get("saga_dlq_replays")), 0),
        _name(found.get("saga_redrive_batch")),
    )


def without_errors(headers: Headers) -> list[tuple[str, bytes]]:
    """The headers as they were when the event was published: no reasons, attempts or redrives."""
    wolverine = _is_wolverine({name for name, _ in headers})
    # Null headers, which only other clients write, are empty ones here: ours can't send them.
    return [
        (name, value or b"")
        for name, value in headers
        if not (name.startswith(_ERROR_PREFIXES) or (wolverine and name in _WOLVERINE))
    ]


class _Told(NamedTuple):
    original: Place
    service: str = ""
    handler: str = ""
    error: str = ""
    message: str = ""
    stack: str = ""
    attempts: int = -1
    at_ms: int = -1
    first_failed_ms: int = -1


_NOWHERE = Place("", -1, -1)
_ANONYMOUS = _Told(_NOWHERE)
_STREAMS = "__streams.errors."
_CONNECT = "__connect.errors."
_SPRING = "kafka_dlt-"
_SAGA = "saga_dlq_"
_ERROR_PREFIXES = (
    _STREAMS,
    _CONNECT,
    _SPRING,
    _SAGA,
    REDRIVE_PREFIX,
    "saga_retry_",
    "retry_topic-",  # attempts of Spring's retry topics: with them it would give up at once
    "kafka_deliveryAttempt",
)
_WOLVERINE = frozenset(
    (
        "exception-type",
        "exception-message",
        "exception-stack",
        "failed-at",
        "original-destination",
        "original-partition",
        "original-offset",
        "attempts",
    )
)


def _family(headers: Headers) -> str | None:
    """Whose letter it is. Of several that have handled it the one whose headers stand last."""
    names = [name for name, _ in headers]
    wolverine = _is_wolverine(names)
    for name in reversed(names):
        if name.startswith(_SAGA):
            return "saga"
        if name.startswith(_STREAMS):
            # Ours stand behind those of Kafka Streams, unless somebody has sorted them.
            return "saga" if any(other.startswith(_SAGA) for other in names) else "streams"
        if name.startswith(_SPRING):
            return "spring"
        if name.startswith(_CONNECT):
            return "connect"
        if wolverine and name in _WOLVERINE:
            return "wolverine"
    return None


def _is_wolverine(names: Iterable[str]) -> bool:
    # Its names have no prefix: `attempts` alone may be a header of the business.
    return {"exception-type", "failed-at"}.issubset(names)


def _streams(found: _Found, _: Headers) -> _Told:
    return _Told(
        _place(found, f"{_STREAMS}topic", f"{_STREAMS}partition", f"{_STREAMS}offset"),
        error=_name(found.get(f"{_STREAMS}exception")),
        message=_text(found.get(f"{_STREAMS}message")),
        stack=_text(found.get(f"{_STREAMS}stacktrace")),
    )


def _saga(found: _Found, headers: Headers) -> _Told:
    return _streams(found, headers)._replace(
        service=_name(found.get(f"{_SAGA}service")),
        handler=_name(found.get(f"{_SAGA}handler")),
        attempts=_number(found.get(f"{_SAGA}attempts")),
        at_ms=_number(found.get(f"{_SAGA}failed_ms")),
        first_failed_ms=_number(found.get(f"{_SAGA}first_failed_ms")),
    )


def _spring(found: _Found, headers: Headers) -> _Told:
    # Each retry topic adds these once more: the first ones name the topic of the business.
    first = _last(headers[::-1])
    error = found.get(f"{_SPRING}exception-cause-fqcn") or found.get(f"{_SPRING}exception-fqcn")
    return _Told(
        _place(
            first,
            f"{_SPRING}original-topic",
            f"{_SPRING}original-partition",
            f"{_SPRING}original-offset",
            _binary,
        ),
        _name(found.get(f"{_SPRING}original-consumer-group")),
        error=_name(error),
        message=_text(found.get(f"{_SPRING}exception-message")),
        stack=_text(found.get(f"{_SPRING}exception-stacktrace")),
        attempts=_binary(found.get("retry_topic-attempts")),
    )


def _connect(found: _Found, _: Headers) -> _Told:
    return _Told(
        _place(found, f"{_CONNECT}topic", f"{_CONNECT}partition", f"{_CONNECT}offset"),
        _name(found.get(f"{_CONNECT}connector.name")),
        _name(found.get(f"{_CONNECT}class.name")),
        _name(found.get(f"{_CONNECT}exception.class.name")),
        _text(found.get(f"{_CONNECT}exception.message")),
        _text(found.get(f"{_CONNECT}exception.stacktrace")),
    )


def _wolverine(found: _Found, _: Headers) -> _Told:
    place = _place(found, "original-destination", "original-partition", "original-offset")
    return _Told(
        # A URI in Wolverine, `kafka://topic/orders`; names of topics have no slash.
        place._replace(topic=place.topic.rpartition("/")[2]),
        error=_name(found.get("exception-type")),
        message=_text(found.get("exception-message")),
        stack=_text(found.get("exception-stack")),
        attempts=_number(found.get("attempts")),
        at_ms=_number(found.get("failed-at")),
    )


_READERS: Mapping[str, Callable[[_Found, Headers], _Told]] = {
    "saga": _saga,
    "streams": _streams,
    "spring": _spring,
    "connect": _connect,
    "wolverine": _wolverine,
}


def _event(headers: Headers, recorded_ms: int) -> tuple[str, str, str]:
    try:
        envelope = read_envelope(headers, record_time_ms=recorded_ms)
    except NotAnEvent:
        return _name(dict(headers).get("ce_type")), "", ""
    return envelope.type[:NAME_LENGTH_MAX], envelope.id, envelope.saga


def _last(headers: Headers) -> _Found:
    return {name: value for name, value in headers if value is not None}


def _number(value: bytes | None) -> int:
    """A number as text; -1 if it is none."""
    if value is None or not value.isdigit() or len(value) > _DIGITS_MAX:
        return -1
    return min(int(value), _INT64_MAX)


def _binary(value: bytes | None) -> int:
    """A number in four or eight bytes, as Spring sends it, or as text after all."""
    # No partition or offset has so high a number that its bytes would all be digits.
    if value is None or value.isdigit() or len(value) not in (4, 8):
        return _number(value)
    return max(int.from_bytes(value, "big", signed=True), -1)


def _name(value: bytes | None) -> str:
    return _text(value)[:NAME_LENGTH_MAX]


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode(errors="replace")


def _place(
    found: _Found, topic: str, partition: str, offset: str, number: Callable[[bytes | None], int] = _number
) -> Place:
    return Place(_name(found.get(topic)), number(found.get(partition)), number(found.get(offset)))
