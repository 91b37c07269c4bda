"""From records to facts: what the collector reads off business topics and `saga.receipts`.

Only headers are read, never an event's data, except of CloudEvents in structured mode, whose
attributes are in the value. What cannot be told to a saga is counted by topic and reason, and left out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import DecodeError, json

from saga.core.envelope import ID_LENGTH_MAX, Envelope, is_structured, read_envelope, read_structured
from saga.core.errors import NotAnEvent
from saga.core.receipt import Receipt, Receipts
from tracker.core.frame import EventSeen, Fact, ReceiptSeen

NOT_AN_EVENT = "not-an-event"
NOT_RECEIPTS = "not-receipts"
NO_SAGA = "no-saga"
TOO_LONG = "too-long"
TOO_LARGE = "too-large"

NAMES_LENGTH_MAX = 1024
"""Characters of all names of one fact together (type and source; service, instance and handler)."""

KEY_LENGTH_MAX = 256
"""A longer record key is cut: it is for people to read, nothing is looked up by it."""

SagaFacts = dict[str, list[Fact]]
"""Facts by the id of their saga, in the order in which they were read."""

Uncorrelated = Counter[tuple[str, str]]
"""How many records or receipts no saga was told about, by topic and reason."""


class Record(Protocol):
    """What is read of a Kafka record; aiokafka's ConsumerRecord has it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def collect_events(
    topic: str, partition: int, records: Iterable[Record], facts: SagaFacts, uncorrelated: Uncorrelated
) -> None:
    """Add an `EventSeen` to `facts` for each of these records of a partition that is an event."""
    known = facts.get
    for record in records:
        try:
            envelope = read_envelope(record.headers, record_time_ms=record.timestamp)
        except NotAnEvent:
            structured = _structured(record)
            if structured is None:
                uncorrelated[topic, NOT_AN_EVENT] += 1
                continue
            envelope = structured
        event_type, source, cause, key = envelope.type, envelope.source, envelope.cause, record.key
        if len(event_type) + len(source) > NAMES_LENGTH_MAX or (cause and len(cause) > ID_LENGTH_MAX):
            uncorrelated[topic, TOO_LONG] += 1
            continue
        text = None if key is None else key.decode("utf-8", "replace")[:KEY_LENGTH_MAX]
        fact = EventSeen(
            envelope.id,
            event_type,
            source,
            topic,
            partition,
            record.offset,
            envelope.time_ms,
            cause,
            text,
            envelope.version,
        )
        others = known(envelope.saga)
        if others is None:
            facts[envelope.saga] = [fact]
        else:
            others.append(fact)


def collect_receipts(
    topic: str, records: Iterable[Record], facts: SagaFacts, uncorrelated: Uncorrelated
) -> None:
    """Add a `ReceiptSeen` to `facts` for each receipt that names its event and saga."""
    for record in records:
        try:
            batch = _receipts.decode(record.value or b"")
        except (DecodeError, UnicodeDecodeError):
            uncorrelated[topic, NOT_RECEIPTS] += 1
            continue
        for receipt in batch.receipts:
            if not receipt.event or not receipt.saga:
                uncorrelated[topic, NO_SAGA] += 1
            elif _too_long(batch, receipt):
                uncorrelated[topic, TOO_LONG] += 1
            else:
                facts.setdefault(receipt.saga, []).append(_receipt_seen(batch, receipt, receipt.event))


_receipts = json.Decoder(Receipts)


def _structured(record: Record) -> Envelope | None:
    if record.value is None or not is_structured(record.headers):
        return None
    try:
        return read_structured(record.value, record_time_ms=record.timestamp)[0]
    except NotAnEvent:
        return None


def _too_long(batch: Receipts, receipt: Receipt) -> bool:
    return (
        len(receipt.event or "") > ID_LENGTH_MAX
        or len(receipt.saga or "") > ID_LENGTH_MAX
        or len(batch.service) + len(batch.instance) + len(receipt.handler) > NAMES_LENGTH_MAX
    )


def _receipt_seen(batch: Receipts, receipt: Receipt, event: str) -> ReceiptSeen:
    return ReceiptSeen(
        event,
        batch.service,
        batch.instance,
        receipt.handler,
        receipt.outcome,
        receipt.at_ms,
        receipt.duration_ms,
        receipt.attempt,
        receipt.failure,
        receipt.retry_at_ms,
    )
