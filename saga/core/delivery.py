"""Where a record waits for its next attempt, where it ends when there is none, and what it carries.

Retry topics and dead letters keep key, value and every header of the event; what is added is
stripped again before a handler sees the event, and never copied into an event that a handler
returns. So does the topic of parked events, but for the key: that topic is compacted, so its key is
where the event was published, and that of the event is in a header.
"""

import traceback
from collections.abc import Sequence
from typing import NamedTuple

from saga.core.duration import duration_text
from saga.core.outcome import Output
from saga.core.pause import parked_topic
from saga.core.redrive import replays

_ATTEMPT = "saga_retry_attempt"
_DUE = "saga_retry_due_ms"
_FIRST_FAILED = "saga_retry_first_failed_ms"
_TOPIC = "saga_retry_topic"
_PARTITION = "saga_retry_partition"
_OFFSET = "saga_retry_offset"
_SAGA = "saga_retry_saga"
_KEY = "saga_retry_key"
_RETRY_PREFIX = "saga_retry_"

STACKTRACE_LENGTH_MAX = 8_192
MESSAGE_LENGTH_MAX = 1_000

DEAD_LETTERS_PREFIX = "saga.dlq."

RawHeaders = Sequence[tuple[str, bytes]]


def retry_topic(service: str, delay_ms: int) -> str:
    """The topic where events of this service wait for so long: `saga.retry.payments.10s`."""
    return f"saga.retry.{service}.{duration_text(delay_ms)}"


def dead_letter_topic(service: str) -> str:
    """The topic of what this service gave up: `saga.dlq.payments`."""
    return f"{DEAD_LETTERS_PREFIX}{service}"


class Delivery(NamedTuple):
    """A record on its way through a service: where it first stood, and how often it was tried.

    `attempt` is the number of the attempt to come; `due_ms` is when (Unix epoch, 0 for at once).
    """

    topic: str
    partition: int
    offset: int
    attempt: int = 1
    due_ms: int = 0
    first_failed_ms: int | None = None

    def failed(self, at_ms: int, due_ms: int) -> "Delivery":
        """The same for the next attempt."""
        return self._replace(
            attempt=self.attempt + 1, due_ms=due_ms, first_failed_ms=self.first_failed_ms or at_ms
        )


def read_delivery(headers: RawHeaders, topic: str, partition: int, offset: int) -> Delivery:
    """The delivery that a record stands for; a fresh one where it comes from a business topic."""
    if not headers or not headers[-1][0].startswith(_RETRY_PREFIX):
        return Delivery(topic, partition, offset)
    found = dict(headers)
    try:
        return Delivery(
            found[_TOPIC].decode(),
            int(found[_PARTITION]),
            int(found[_OFFSET]),
            int(found[_ATTEMPT]),
            int(found[_DUE]),
            int(found[_FIRST_FAILED]),
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        # Somebody else wrote into our retry topic: their record gets its attempts from the start.
        # (Type and attribute errors are those of null headers.)
        return Delivery(topic, partition, offset)


def without_delivery(headers: RawHeaders) -> list[tuple[str, bytes]]:
    """The headers as they were when the event was published."""
    return [header for header in headers if not header[0].startswith(_RETRY_PREFIX)]


def retry_output(
    topic: str, delivery: Delivery, key: bytes | None, value: bytes | None, headers: RawHeaders
) -> Output:
    """The record that waits in a retry topic. Ours stand last: `read_delivery` looks there only."""
    return Output(topic, key, value, [*without_delivery(headers), *_delivery_headers(delivery)])


def _delivery_headers(delivery: Delivery) -> list[tuple[str, bytes]]:
    return [
        (_TOPIC, delivery.topic.encode()),
        (_PARTITION, b"%d" % delivery.partition),
        (_OFFSET, b"%d" % delivery.offset),
        (_FIRST_FAILED, b"%d" % (delivery.first_failed_ms or 0)),
        (_DUE, b"%d" % delivery.due_ms),
        (_ATTEMPT, b"%d" % delivery.attempt),
    ]


class Parked(NamedTuple):
    """A parked event: its saga, and its own key."""

    saga: str
    key: bytes | None


def parked_key(delivery: Delivery) -> bytes:
    """The key of a parked event, the same however often it is parked: `payments/3/1042`."""
    return f"{delivery.topic}/{delivery.partition}/{delivery.offset}".encode()


def parked_output(
    service: str, saga: str, delivery: Delivery, key: bytes | None, value: bytes, headers: RawHeaders
) -> Output:
    """The record of an event that waits until its saga goes on."""
    ours = [(_SAGA, saga.encode()), *([] if key is None else [(_KEY, key)])]
    added = [*ours, *_delivery_headers(delivery)]
    return Output(parked_topic(service), parked_key(delivery), value, [*without_delivery(headers), *added])


def done_output(service: str, delivery: Delivery) -> Output:
    """The record with which an event is not parked any more."""
    return Output(parked_topic(service), parked_key(delivery), None, [])


def read_parked(headers: RawHeaders) -> Parked | None:
    """Whose event is parked in this record; None if it is none of `parked_output`."""
    found = {name: value for name, value in headers if name.startswith(_RETRY_PREFIX)}
    saga = found.get(_SAGA)
    return None if saga is None else Parked(saga.decode(errors="replace"), found.get(_KEY))


def dead_letter(
    service: str,
    handler: str,
    delivery: Delivery,
    error: BaseException,
    at_ms: int,
    record: tuple[bytes | None, bytes | None, RawHeaders],
) -> Output:
    """The record on the dead-letter topic: the event untouched, Kafka's own error headers, ours.

    Source: KIP-1034 for the `__streams.errors.*` names. `record` is key, value and headers.
    """
    key, value, headers = record
    stack = "".join(traceback.format_exception(error))[-STACKTRACE_LENGTH_MAX:]
    added = {
        "__streams.errors.exception": qualified_name(error),
        "__streams.errors.message": error_text(error),
        "__streams.errors.stacktrace": stack,
        "__streams.errors.topic": delivery.topic,
        "__streams.errors.partition": str(delivery.partition),
        "__streams.errors.offset": str(delivery.offset),
        "saga_dlq_service": service,
        "saga_dlq_handler": handler,
        "saga_dlq_attempts": str(delivery.attempt),
        "saga_dlq_first_failed_ms": str(delivery.first_failed_ms or at_ms),
        "saga_dlq_failed_ms": str(at_ms),
        "saga_dlq_replays": str(replays(headers)),
    }
    kept = [header for header in without_delivery(headers) if header[0] not in added]
    return Output(
        dead_letter_topic(service),
        key,
        value,
        [*kept, *((name, text.encode(errors="replace")) for name, text in added.items())],
    )


def qualified_name(error: BaseException) -> str:
    """The exception's class as Python names it: `TimeoutError`, `payments.errors.CardRefused`."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def error_text(error: BaseException) -> str:
    """What the exception says, cut to `MESSAGE_LENGTH_MAX`: always text that UTF-8 can hold.

    Names of files may hold surrogates, and `__str__` is somebody else's code: neither may stop the
    service that tells of the error.
    """
    try:
        text = str(error)
    except Exception:
        return f"({qualified_name(error)} has no readable message)"
    return text[:MESSAGE_LENGTH_MAX].encode(errors="replace").decode()
