"""What records of the changelog change in the read model."""

from collections.abc import Iterable

from msgspec import Struct

from tracker.core.clock import CLOCK_ROW
from tracker.core.contract.traffic import edges_of
from tracker.core.errors import UnreadableSaga
from tracker.core.saga import Saga, decode_saga, with_marks
from tracker.core.status import ENDED, Status
from tracker.core.way import Walk, walk
from tracker.view.known import Known
from tracker.view.model.ended import Ended, Group, ended_ms, ended_of
from tracker.view.model.plain import bounded, errors_text, plain_fields, standing_errors, variant_of
from tracker.view.model.shape import several, stored
from tracker.view.model.tallied import Tallied, tallied
from tracker.view.row import Row, row_of

_CLOCK = CLOCK_ROW.encode()


class Record(Struct, frozen=True, array_like=True, gc=False):
    """One record of a partition of the changelog; `value` None: the saga is removed."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None


class SagaRow(Struct, frozen=True, array_like=True, gc=False):
    """A saga as it is found by searches.

    Attributes
    ----------
    place : type of the newest event on the way of the saga; "" as long as only receipts are known.
    ended_ms : when it ended; None as long as it is in flight.
    variant : the one that it went, as a number; None as long as it is in flight.
    waits_ms : since when it waits for what it has waited for longest; None if it waits for nothing.
    warn_at_ms, due_ms : the earliest of its running clocks; None without any.
    found_ms : from when on the first of its findings counts; None without any.
    waiting_for : services that owe an answer.
    services, types, edges : those that handled an event of it, the types of its events, and which of them
        came of which.
    findings : kinds of what is wrong with it, besides what takes too long.
    errors : what handlers and undos failed with and that still stands, one a line.
    described : 1 where the file of its flow was known when the row was made, else 0.
    """

    id: str
    flow: str
    flow_version: int
    begins: str
    status: str
    business_key: str
    place: str
    began_ms: int
    acted_ms: int
    ended_ms: int | None
    variant: int | None
    waits_ms: int | None
    warn_at_ms: int | None
    due_ms: int | None
    found_ms: int | None
    events: int
    waiting_for: str
    services: str
    types: str
    edges: str
    findings: str
    errors: str
    described: int
    partition: int
    offset: int


class Batch(Struct, frozen=True):
    """Changes to be written at once, at most one of each saga.

    Attributes
    ----------
    chains, joined : by id the bytes of a saga, or the id of the one that it belongs to.
    unreadable : by id where the record lies that is no saga, partition and offset, and why it is none.
    ids : of all that are touched: what was there of them before is replaced.
    ended : those that have ended, counted.
    known : what the rows were made with.
    """

    rows: list[SagaRow]
    chains: dict[str, bytes]
    joined: dict[str, str]
    unreadable: dict[str, tuple[int, int, str]]
    ids: list[str]
    ended: Tallied
    known: Known


def batch_of(records: Iterable[Record], known: Known) -> Batch:
    """What these records change. Those of one saga in their order: only its last one is decoded."""
    # By the id as it is stored: keys that are no text may come to the same one.
    last = {stored(record.key.decode(errors="replace")): record for record in records if record.key != _CLOCK}
    rows: list[SagaRow] = []
    chains: dict[str, bytes] = {}
    joined: dict[str, str] = {}
    unreadable: dict[str, tuple[int, int, str]] = {}
    ended: list[Ended] = []
    for id_, record in last.items():
        if record.value is None:
            continue
        try:
            saga = decode_saga(record.value)
        except UnreadableSaga as error:
            unreadable[id_] = record.partition, record.offset, stored(str(error))
            continue
        if saga.joined:
            joined[id_] = stored(saga.joined)
            continue
        undoing = known.undo_words(saga)
        walked = walk(saga, undoing)
        row = _row(saga, walked, known, id_, record)
        rows.append(row)
        chains[id_] = record.value
        if row.ended_ms is not None:
            group = Group(row.flow, row.flow_version, row.begins)
            status = Status(row.status)
            ended.append(ended_of(saga, walked, group, status, row.began_ms, row.ended_ms, undoing))
    return Batch(rows, chains, joined, unreadable, list(last), tallied(ended), known)


def _row(saga: Saga, walked: Walk | None, known: Known, id_: str, record: Record) -> SagaRow:
    """The row of a saga that stands there in the changelog, under this id."""
    fields = plain_fields(saga, walked, known)
    if fields is not None:
        return SagaRow(*(id_, *fields, record.partition, record.offset))
    return any_row(saga, known, id_, record.partition, record.offset)


def any_row(saga: Saga, known: Known, id_: str, partition: int, offset: int) -> SagaRow:
    """The same, of whatever saga."""
    row = row_of(saga, known)
    services, types = _met(saga)
    warnings = [clock.warn_at_ms for clock in row.clocks if clock.warn_at_ms >= 0]
    waits = [max(owed.since_ms, owed.retry_at_ms) for owed in row.waits]
    return SagaRow(
        id=id_,
        flow=stored(row.flow),
        flow_version=row.flow_version,
        begins=stored(row.begins),
        status=row.status.value,
        business_key=stored(row.key),
        place=stored(row.where),
        began_ms=bounded(row.began_ms),
        acted_ms=bounded(row.acted_ms),
        ended_ms=bounded(ended_ms(saga, row.status)) if row.status in ENDED else None,
        variant=variant_of(saga) if row.status in ENDED else None,
        waits_ms=bounded(min(waits)) if waits else None,
        warn_at_ms=bounded(min(warnings)) if warnings else None,
        due_ms=bounded(row.clocks[0].due_ms) if row.clocks else None,
        found_ms=bounded(row.findings[0].at_ms) if row.findings else None,
        events=row.events,
        waiting_for=several({owed.service for owed in row.waiting} if row.in_flight else ()),
        services=several(services),
        types=several(types),
        edges=several({edge.id for edge in edges_of(saga)}),
        findings=several({finding.kind.value for finding in row.findings}),
        errors=_errors(saga, row),
        described=int(known.flow_of(saga) is not None),
        partition=partition,
        offset=offset,
    )


def _met(saga: Saga) -> tuple[set[str], set[str]]:
    services, types = set(), set()
    for step in with_marks(saga).steps.values():
        if step.seen is not None:
            types.add(step.seen.type)
        for handling in step.handlings:
            services.add(handling.service)
    return services, types


def _errors(saga: Saga, row: Row) -> str:
    """Each once, the first ones of the saga."""
    found = standing_errors(saga)
    if row.undo is not None and row.undo.error:
        found[row.undo.error] = None
    return errors_text(found)
