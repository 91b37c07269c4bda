"""From records to facts: what the collector reads off business topics, `saga.receipts` and `saga.commands`.

Only headers are read, never an event's data, except of CloudEvents in structured mode, whose
attributes are in the value, of events whose payload some flow needs, and of records that only a
correlation rule makes events of. What cannot be told to a saga is counted by topic and reason, and
left out.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from msgspec import DecodeError, json

from saga.core.envelope import ID_LENGTH_MAX, Envelope, is_structured, read_envelope, read_structured
from saga.core.errors import NotAnEvent
from saga.core.receipt import RECEIPTS_TOPIC, Receipt, Receipts
from saga.core.redrive import is_redriven
from tracker.core.command import COMMANDS_TOPIC, Command
from tracker.core.correlation import NO_SAGA, TOO_LONG, Correlated, Record, Rule, correlate
from tracker.core.frame import ChildBegun, CommandSeen, EventSeen, Fact, Joined, ReceiptSeen

NOT_AN_EVENT = "not-an-event"
NOT_RECEIPTS = "not-receipts"
NOT_A_COMMAND = "not-a-command"
TOO_LARGE = "too-large"

NAMES_LENGTH_MAX = 1024
"""Characters of all names of one fact together (type and source; service, instance and handler)."""

KEY_LENGTH_MAX = 256
"""A longer record key is cut: it is for people to read, nothing is looked up by it."""

REASON_LENGTH_MAX = 1_000
"""Characters of the reason of a command; together with who gave it, it is kept in the saga."""

PAYLOAD_BYTES_MAX = 64 * 1024
"""A larger payload is not passed: it would be kept in the saga until its end."""

_HISTORY_MS = 86_400_000
"""An event that was recorded so much later than it happened is history that is imported."""

SagaFacts = dict[str, list[Fact]]
"""Facts by the id of their saga, in the order in which they were read."""

Uncorrelated = Counter[tuple[str, str]]
"""How many records or receipts no saga was told about, by topic and reason."""


class Payloads(NamedTuple):
    """Whose payloads are passed to the tracker: those of events of these types, up to so many bytes."""

    types: frozenset[str] = frozenset()
    bytes_max: int = PAYLOAD_BYTES_MAX


NO_PAYLOADS = Payloads()


def collect_events(
    topic: str,
    partition: int,
    records: Iterable[Record],
    facts: SagaFacts,
    uncorrelated: Uncorrelated,
    payloads: Payloads = NO_PAYLOADS,
    rules: Collection[Rule] = (),
) -> None:
    """Add an `EventSeen` to `facts` for each of these records of a partition that is an event.

    A record that is none by itself may be one by these rules; the other sagas that it names are told what
    they are joined with. Of an event that begins a child saga the parent is told as well.
    """
    known = facts.get
    needed, bytes_max = payloads
    for record in records:
        if is_redriven(record.headers):
            continue  # the event has been told of: this is no second one, whatever the operator changed in it
        data, key = record.value, record.key
        rank, joins = 0, _NO_JOINS
        try:
            envelope = read_envelope(record.headers, record_time_ms=record.timestamp)
        except NotAnEvent:
            structured = _structured(record)
            if structured is not None:
                envelope, data = structured
            else:
                found = correlate(rules, topic, partition, record) if rules else NOT_AN_EVENT
                if not isinstance(found, Correlated):
                    uncorrelated[topic, found] += 1
                    continue
                envelope = found.envelope
                joins = found.others
                rank = found.rank
                key = found.key.encode() if found.key else key
        event_type, source, cause = envelope.type, envelope.source, envelope.cause
        if len(event_type) + len(source) > NAMES_LENGTH_MAX or (cause and len(cause) > ID_LENGTH_MAX):
            uncorrelated[topic, TOO_LONG] += 1
            continue
        parent = envelope.parent
        if parent is not None:
            if len(parent) > ID_LENGTH_MAX:
                uncorrelated[topic, TOO_LONG] += 1
                continue
            parent = _tell_parent(parent, envelope, facts)
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
            _payload(data, bytes_max) if event_type in needed else None,
            parent,
            -1 if record.timestamp - envelope.time_ms < _HISTORY_MS else record.timestamp,
        )
        for other in joins:
            facts.setdefault(other, []).append(Joined(envelope.saga, rank, fact.told_ms))
        others = known(envelope.saga)
        if others is None:
            facts[envelope.saga] = [fact]
        else:
            others.append(fact)


_NO_JOINS: tuple[str, ...] = ()


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


def collect_commands(
    topic: str, records: Iterable[Record], facts: SagaFacts, uncorrelated: Uncorrelated
) -> None:
    """Add a `CommandSeen` to `facts` for each of these records that is a command of somebody for a saga."""
    for record in records:
        try:
            command = _commands.decode(record.value or b"")
        except (DecodeError, UnicodeDecodeError):
            uncorrelated[topic, NOT_A_COMMAND] += 1
            continue
        if not (command.id and command.by.strip() and command.reason.strip()):
            uncorrelated[topic, NOT_A_COMMAND] += 1
        elif not command.saga:
            uncorrelated[topic, NO_SAGA] += 1
        elif _endless(command):
            uncorrelated[topic, TOO_LONG] += 1
        else:
            facts.setdefault(command.saga, []).append(_command_seen(command))


def why_uncorrelated(topic: str, partition: int, record: Record, rules: Collection[Rule] = ()) -> str:
    """Why no saga is told of this record; "" if one is. Of a batch of receipts the first reason counts."""
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    if topic == RECEIPTS_TOPIC:
        collect_receipts(topic, [record], facts, uncorrelated)
    elif topic == COMMANDS_TOPIC:
        collect_commands(topic, [record], facts, uncorrelated)
    else:
        collect_events(topic, partition, [record], facts, uncorrelated, rules=rules)
    return next((reason for _, reason in uncorrelated), "")


_receipts = json.Decoder(Receipts)
_commands = json.Decoder(Command)


def _tell_parent(parent: str, envelope: Envelope, facts: SagaFacts) -> str | None:
    """Tell it of its child. None where the event names its own saga: nothing begins itself."""
    if parent == envelope.saga:
        return None
    begun = ChildBegun(envelope.saga, envelope.type, envelope.cause or "", envelope.time_ms)
    facts.setdefault(parent, []).append(begun)
    return parent


def _structured(record: Record) -> tuple[Envelope, bytes] | None:
    if record.value is None or not is_structured(record.headers):
        return None
    try:
        return read_structured(record.value, record_time_ms=record.timestamp)
    except NotAnEvent:
        return None


def _payload(data: bytes | None, bytes_max: int) -> bytes | None:
    """The payload if it is a JSON object and not too large. Decoded as a whole: the tracker trusts it."""
    if data is None or len(data) > bytes_max:
        return None
    try:
        return data if isinstance(json.decode(data), dict) else None
    except (DecodeError, UnicodeDecodeError, RecursionError):
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


def _endless(command: Command) -> bool:
    return (
        len(command.id) > ID_LENGTH_MAX
        or len(command.saga) > ID_LENGTH_MAX
        or len(command.event) > ID_LENGTH_MAX
        or len(command.by) > NAMES_LENGTH_MAX
        or len(command.reason) > REASON_LENGTH_MAX
    )


def _command_seen(command: Command) -> CommandSeen:
    return CommandSeen(
        command.id,
        command.action,
        command.by,
        command.reason,
        command.at_ms,
        command.event,
        command.undo,
    )
