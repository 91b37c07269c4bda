"""The database in the hands of its one projector. All of it blocks: it belongs into a thread."""

import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection, Engine, exists, select, text
from sqlalchemy.exc import DBAPIError

from saga.core.delivery import DEAD_LETTERS_PREFIX
from saga.runtime.kafka import ConsumerRecord
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.view.known import Known
from tracker.view.model.batch import Batch, Record, batch_of
from tracker.view.model.feeds import (
    FeedRecord,
    forget_dead_letters,
    forget_dropped,
    forget_feeds,
    forget_older,
    read_places,
    set_places,
    write_feed,
)
from tracker.view.model.freshness import (
    Projected,
    read_by_digest,
    read_projected,
    set_read_by,
    write_projected,
)
from tracker.view.model.search import rows_of
from tracker.view.model.tables import chains, sagas
from tracker.view.model.write import begin_anew, write

__all__ = ["Engine", "Place", "Projection", "Taken", "open_projection"]

Place = tuple[str, int]
"""A topic and the number of a partition."""

_PROJECTOR_LOCK = 7_208_515_904_361_129
"""Any number that is ours: who holds it in PostgreSQL is the projector, and others wait."""


class Taken(NamedTuple):
    """What was read of one topic; `moved` has by partition where it begins and ends."""

    records: Sequence["ConsumerRecord[bytes, bytes]"]
    moved: Mapping[int, tuple[int, int]]

    def saga_records(self) -> list[Record]:
        """What was read of the saga table."""
        return [
            Record(record.partition, record.offset, record.key or b"", record.value)
            for record in self.records
        ]


class Projection:
    """Made by `open_projection`, for one projector at a time. After an error it is to be closed."""

    def __init__(self, connection: Connection, lock: int | None) -> None:
        self._connection = connection
        self._lock = lock
        self._known = Known()
        self._reread_after: int | None = None
        self.unreadable = 0
        """Records of feeds that were none of ours."""

    @property
    def rereading(self) -> bool:
        """Whether sagas are still to be read by flows and services that have changed."""
        return self._reread_after is not None

    @property
    def known(self) -> Known:
        """What sagas are read by."""
        return self._known

    def places(self) -> dict[Place, tuple[str, int]]:
        """By topic and partition the cluster and the next offset to read."""
        with self._connection.begin():
            return read_places(self._connection)

    def projected(self) -> Projected:
        """What the last projector said of itself."""
        with self._connection.begin():
            return read_projected(self._connection)

    def begin(
        self,
        cluster: str,
        places: Mapping[Place, int],
        recreated: Sequence[Place],
        said: Projected,
        *,
        another_cluster: bool,
        anew: bool,
    ) -> None:
        """Go on at these places. `anew`: all sagas are forgotten; `another_cluster`: all else as well."""
        ours = {n: offset for (topic, n), offset in places.items() if topic == SAGAS_CHANGELOG_TOPIC}
        others = {place: offset for place, offset in places.items() if place[0] != SAGAS_CHANGELOG_TOPIC}
        with self._connection.begin():
            if another_cluster:
                forget_feeds(self._connection)
            if anew:
                begin_anew(self._connection, SAGAS_CHANGELOG_TOPIC, cluster, ours)
            forget_dead_letters(self._connection, recreated)
            set_places(self._connection, cluster, others)
            write_projected(self._connection, said)

    def know(self, known: Known) -> bool:
        """Read sagas by these flows and services from now on; whether those that are there differ in them."""
        digest = known.digest()
        with self._connection.begin():
            changed = read_by_digest(self._connection) != digest
            if changed:
                # Until all are, they are read by several: whoever comes after us begins with all again.
                some = bool(self._connection.scalar(select(exists().select_from(chains))))
                set_read_by(self._connection, "" if some else digest)
                changed = some
        self._known = known
        self._reread_after = 0 if changed else None
        return changed

    def write(self, taken: Mapping[str, Taken], said: Projected, batch: Batch | None = None) -> None:
        """Write what was read of each topic, all of it or nothing.

        `batch` is what its sagas make, if somebody has already worked that out.

        Raises
        ------
        AnotherProjector
            Somebody else writes to this database as well.
        """
        sagas_taken = taken.get(SAGAS_CHANGELOG_TOPIC)
        # By other flows and services than those of now it is not what it would be.
        if sagas_taken is not None and (batch is None or batch.known is not self._known):
            batch = batch_of(sagas_taken.saga_records(), self._known)
        unreadable = 0
        with self._connection.begin():
            if sagas_taken is not None and batch is not None:
                write(self._connection, SAGAS_CHANGELOG_TOPIC, batch, sagas_taken.moved)
            for topic, (records, moved) in sorted(taken.items()):
                if topic != SAGAS_CHANGELOG_TOPIC:
                    unreadable += write_feed(self._connection, topic, map(_feed_record, records), moved)
            write_projected(self._connection, said)
        self.unreadable += unreadable

    def reread(self, sagas_max: int) -> bool:
        """Read the next sagas once more, from their bytes here, by the flows and services of today.

        Whether these were the last ones.
        """
        after = self._reread_after or 0
        columns = sagas.c.number, sagas.c.id, sagas.c.partition, sagas.c.offset, chains.c.value
        query = select(*columns).join(chains, chains.c.number == sagas.c.number)
        query = query.where(sagas.c.number > after).order_by(sagas.c.number).limit(sagas_max)
        with self._connection.begin():
            found = self._connection.execute(query).all()
            records = [Record(part, at, id_.encode(), bytes(value)) for _, id_, part, at, value in found]
            self._write_others(records)
            done = len(found) < sagas_max
            if done:
                set_read_by(self._connection, self._known.digest())
        self._reread_after = None if done else found[-1].number
        return done

    def _write_others(self, records: Sequence[Record]) -> None:
        """Write those that read otherwise than their rows here: a row that is written is a change."""
        rows = {row.id: row for row in rows_of(self._connection, [record.key.decode() for record in records])}
        batch = batch_of(records, self._known)
        same = {row.id for row in batch.rows if rows.get(row.id) == row}
        others = [record for record in records if record.key.decode() not in same]
        write(self._connection, SAGAS_CHANGELOG_TOPIC, batch_of(others, self._known), {})

    def sweep(self, begins: Mapping[Place, int], before_ms: int, audit_before_ms: int) -> int:
        """Delete some of what is old, and dead letters that Kafka has dropped; how many rows.

        `begins` has the first offset of each partition of all dead-letter topics.
        """
        ours = {place: begin for place, begin in begins.items() if place[0].startswith(DEAD_LETTERS_PREFIX)}
        with self._connection.begin():
            dropped = forget_dropped(self._connection, ours)
            return dropped + forget_older(self._connection, before_ms, audit_before_ms)

    def close(self) -> None:
        """Others may have it."""
        try:
            # Not only when the server has noticed that we are gone.
            if self._connection.dialect.name == "postgresql":
                with suppress(DBAPIError), self._connection.begin():
                    self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
            self._connection.close()
        finally:
            if self._lock is not None:
                os.close(self._lock)


def open_projection(engine: Engine) -> Projection | None:
    """The database, for this projector alone; None while another one has it.

    Whoever has it loses it with its process, or with its connection: nobody waits for a dead one.

    Raises
    ------
    DBAPIError
        The database does not answer.
    OSError
        The lock beside a SQLite file can't be made.
    """
    lock = None
    if engine.dialect.name == "sqlite" and engine.url.database:
        lock = os.open(f"{engine.url.database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    connection: Connection | None = None
    try:
        if lock is not None and not _locked(lock):
            os.close(lock)
            return None
        connection = engine.connect().execution_options(immediate=True)
        # Closed for good at the end, and not kept for others with the lock that it has.
        connection.detach()
        if engine.dialect.name == "postgresql" and not _alone(connection):
            connection.close()
            return None
    except BaseException:
        if connection is not None:
            with suppress(Exception):
                connection.close()
        if lock is not None:
            os.close(lock)
        raise
    return Projection(connection, lock)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alone(connection: Connection) -> bool:
    with connection.begin():
        return bool(connection.scalar(text(f"SELECT pg_try_advisory_lock({_PROJECTOR_LOCK})")))


def _feed_record(record: "ConsumerRecord[bytes, bytes]") -> FeedRecord:
    return FeedRecord(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )
