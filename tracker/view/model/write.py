"""Write batches, and read up to where they go."""

from collections import Counter
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import Connection, Table, delete, exists, insert, select, text, update

from saga.core.errors import SagaError
from tracker.core.saga import decode_saga
from tracker.core.status import Status
from tracker.core.way import walk
from tracker.view.model.aggregates import count_ended
from tracker.view.model.batch import Batch, SagaRow
from tracker.view.model.bulk import Bulk, bulk
from tracker.view.model.changes import note_changes, note_new_beginning
from tracker.view.model.ended import Ended, Group, ended_of
from tracker.view.model.shape import Shape, shape_id, text_id
from tracker.view.model.tables import (
    chains,
    errors,
    hours,
    joined,
    positions,
    sagas,
    shapes,
    traffic,
    unreadable,
)
from tracker.view.model.tallied import tallied


class AnotherProjector(SagaError):
    """The database stands somewhere else than we left it: somebody else writes to it as well."""


_COUNTING_LOCK = 7_208_515_904_361_128
"""Any number that is ours: who holds it in PostgreSQL counts and numbers, and others wait."""


class _Was(NamedTuple):
    """What a saga was before; the columns of `sagas` under these names."""

    id: str
    number: int
    shape: int
    business_key: str
    began_ms: int
    ended_ms: int | None
    error: int | None


_ALIKE = attrgetter(*Shape._fields[:-1])


class _Counted:
    """What rows have in common with others, by the number that is all that the table `sagas` has of it.

    Attributes
    ----------
    shapes, errors : what the numbers stand for.
    sagas, erring : of how many sagas more each is now.
    """

    def __init__(self) -> None:
        self.shapes: dict[int, Shape] = {}
        self.errors: dict[int, str] = {}
        self.sagas: Counter[int] = Counter()
        self.erring: Counter[int] = Counter()
        self._numbers: dict[tuple[object, ...], int] = {}

    def shape_of(self, row: SagaRow) -> int:
        """Count its shape."""
        key = _ALIKE(row), row.due_ms is not None
        number = self._numbers.get(key)
        if number is None:
            shape = Shape(*(*key[0], int(key[1])))
            number = self._numbers[key] = shape_id(shape)
            self.shapes[number] = shape
        self.sagas[number] += 1
        return number

    def error_of(self, row: SagaRow) -> int:
        """Count what it failed with."""
        number = text_id(row.errors)
        self.errors[number] = row.errors
        self.erring[number] += 1
        return number


def read_positions(connection: Connection, topic: str, cluster: str) -> dict[int, int]:
    """By partition the next offset to read; none of what was read from another cluster."""
    wanted = (positions.c.topic == topic) & (positions.c.cluster == cluster)
    found = connection.execute(select(positions).where(wanted))
    return {row.partition: row.next_offset for row in found}


def begin_anew(connection: Connection, topic: str, cluster: str, offsets: Mapping[int, int]) -> None:
    """Forget all sagas; by partition where to begin to read."""
    for table in (sagas, shapes, errors, chains, joined, unreadable, hours, traffic):
        connection.execute(delete(table))
    connection.execute(delete(positions).where(positions.c.topic == topic))
    note_new_beginning(connection)
    if offsets:
        told = [
            {"topic": topic, "cluster": cluster, "partition": partition, "next_offset": offset}
            for partition, offset in offsets.items()
        ]
        connection.execute(insert(positions), told)


def write(connection: Connection, topic: str, batch: Batch, moved: Mapping[int, tuple[int, int]]) -> None:
    """Write a batch; `moved` has by partition where it begins and ends. In a transaction of the caller.

    Raises
    ------
    AnotherProjector
        A partition does not stand where the batch begins. Nothing may be committed then.
    """
    # First, because it locks: two that write at once can't both find what they expect.
    move(connection, topic, moved)
    if not batch.ids:
        return
    rows = bulk(connection)
    was = {found[0]: _Was(*found) for found in rows.find(sagas, _Was._fields, "id", batch.ids)}
    taken_back = _ended_before(connection, rows, batch, was)
    counted = _write_sagas(rows, batch, was)
    _write_others(connection, rows, batch, was)
    # Last, because it locks: several that write may do all else at the same time.
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_COUNTING_LOCK})"))
    _count_alike(connection, counted, was.values())
    counts = batch.ended
    if taken_back:
        counts = tallied(taken_back, -1)
        counts.merge(batch.ended)
    count_ended(connection, counts)
    note_changes(connection, batch.ids)


def move(connection: Connection, topic: str, moved: Mapping[int, tuple[int, int]]) -> None:
    """By partition from where to where the tables have come. In a transaction of the caller.

    Raises
    ------
    AnotherProjector
        A partition does not stand where it is moved from. Nothing may be committed then.
    """
    for partition, (begin, end) in sorted(moved.items()):
        place = (positions.c.topic == topic) & (positions.c.partition == partition)
        done = connection.execute(
            update(positions).where(place, positions.c.next_offset == begin).values(next_offset=end)
        )
        if done.rowcount != 1:
            raise AnotherProjector(
                f"{topic}-{partition} does not stand at {begin} in the database: "
                "something else writes to it too; let one run only, or give each its own database"
            )


def _write_sagas(rows: Bulk, batch: Batch, was: Mapping[str, _Was]) -> _Counted:
    """Write what there is of each saga; what the rows have in common with others."""
    counted = _Counted()
    numbers = iter(rows.take_numbers(len(batch.rows) - len(was.keys() & batch.chains.keys())))
    new, changed, moved, new_chains, changed_chains = [], [], [], [], []
    for row in batch.rows:
        id_, before = row.id, was.get(row.id)
        number = next(numbers) if before is None else before.number
        told = (
            number,
            counted.shape_of(row),
            row.acted_ms,
            row.ended_ms,
            row.variant,
            row.waits_ms,
            row.warn_at_ms,
            row.due_ms,
            row.found_ms,
            row.events,
            counted.error_of(row) if row.errors else None,
            row.partition,
            row.offset,
        )
        fixed = row.business_key, row.began_ms
        if before is None:
            new.append((*told, id_, *fixed))
            new_chains.append((number, batch.chains[id_]))
        else:
            changed.append(told)
            changed_chains.append((number, batch.chains[id_]))
            if fixed != (before.business_key, before.began_ms):
                moved.append((number, *fixed))
    rows.add(sagas, _NEW, new)
    rows.add(chains, _CHAIN, new_chains)
    rows.change(sagas, _CHANGED, changed)
    # Apart from the rest, since each costs an index that nearly none needs.
    rows.change(sagas, _MOVED, moved)
    rows.change(chains, _CHAIN, changed_chains)
    gone = [was[id_].number for id_ in was.keys() - batch.chains.keys()]
    if gone:
        rows.remove(sagas, "number", gone)
        rows.remove(chains, "number", gone)
    return counted


_CHAIN = ("number", "value")
_CHANGED = (
    "number",
    "shape",
    "acted_ms",
    "ended_ms",
    "variant",
    "waits_ms",
    "warn_at_ms",
    "due_ms",
    "found_ms",
    "events",
    "error",
    "partition",
    "offset",
)
_MOVED = ("number", "business_key", "began_ms")
_NEW = (*_CHANGED, "id", *_MOVED[1:])


def _write_others(connection: Connection, rows: Bulk, batch: Batch, was: Mapping[str, _Was]) -> None:
    """What is none, or part of another one."""
    new = [id_ for id_ in batch.ids if id_ not in was]
    for table in (joined, unreadable):
        if new and connection.scalar(select(exists().select_from(table))):
            rows.remove(table, "id", new)
    if batch.joined:
        connection.execute(insert(joined), [{"id": id_, "saga": s} for id_, s in batch.joined.items()])
    if batch.unreadable:
        told = [
            {"id": id_, "partition": partition, "offset": offset, "error": error}
            for id_, (partition, offset, error) in batch.unreadable.items()
        ]
        connection.execute(insert(unreadable), told)


def _count_alike(connection: Connection, counted: _Counted, was: Iterable[_Was]) -> None:
    """Keep what many sagas have in common, and how many have it."""
    for before in was:
        counted.sagas[before.shape] -= 1
        if before.error is not None:
            counted.erring[before.error] -= 1
    kept = {number: shape._asdict() for number, shape in counted.shapes.items()}
    _count(connection, shapes, kept, counted.sagas)
    _count(connection, errors, {id_: {"text": told} for id_, told in counted.errors.items()}, counted.erring)


def _count(
    connection: Connection,
    table: Table,
    found: Mapping[int, Mapping[str, object]],
    counts: Mapping[int, int],
) -> None:
    names = [column.name for column in table.columns if column.name not in ("id", "sagas")]
    here = [{"id": id_, "more": counts[id_], **columns} for id_, columns in found.items()]
    if here:
        sql = (
            f"INSERT INTO {table.name} (id, sagas, {', '.join(names)}) "
            f"VALUES (:id, :more, {', '.join(f':{name}' for name in names)}) "
            f"ON CONFLICT (id) DO UPDATE SET sagas = {table.name}.sagas + excluded.sagas"
        )
        connection.execute(text(sql), here)
    left = [{"id": id_, "more": count} for id_, count in counts.items() if count and id_ not in found]
    if left:
        connection.execute(text(f"UPDATE {table.name} SET sagas = sagas + :more WHERE id = :id"), left)
    fewer = [{"id": id_} for id_, count in counts.items() if count < 0]
    if fewer:
        connection.execute(text(f"DELETE FROM {table.name} WHERE id = :id AND sagas = 0"), fewer)


def _ended_before(connection: Connection, rows: Bulk, batch: Batch, was: Mapping[str, _Was]) -> list[Ended]:
    """How those were counted that had ended and change now; one that is removed goes on to count."""
    kept = batch.chains.keys() | batch.joined.keys() | batch.unreadable.keys()
    before = {old.number: old for old in was.values() if old.ended_ms is not None and old.id in kept}
    if not before:
        return []
    stood = {shape.id: shape for shape in connection.execute(select(shapes))}
    found = []
    for number, value in rows.find(chains, _CHAIN, "number", list(before)):
        old, saga = before[number], decode_saga(bytes(value))
        shape = stood[old.shape]
        group = Group(shape.flow, shape.flow_version, shape.begins)
        undoing = batch.known.undo_words(saga) if shape.described else frozenset[str]()
        assert old.ended_ms is not None
        walked, status = walk(saga, undoing), Status(shape.status)
        found.append(ended_of(saga, walked, group, status, old.began_ms, old.ended_ms, undoing))
    return found
