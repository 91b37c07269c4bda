"""How far the read model is, as its projector says about once a second and with each batch."""

from msgspec import Struct
from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, Table, delete, insert, select

from tracker.view.model.tables import TEXT, metadata

ALIVE_MS = 10_000
"""A projector that has said nothing for so long is taken for gone."""

projector = Table(
    "projector",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("who", TEXT, nullable=False),
    Column("beat_ms", BigInteger, nullable=False),
    Column("as_of_ms", BigInteger, nullable=False),
    Column("complete_ms", BigInteger, nullable=False),
    Column("lag_records", BigInteger, nullable=False),
    Column("building", Boolean, nullable=False),
    Column("built_records", BigInteger, nullable=False),
    Column("build_records", BigInteger, nullable=False),
    Column("tracker_as_of_ms", BigInteger, nullable=False),
    Column("tracker_lag_records", BigInteger, nullable=False),
    Column("tracker_at_work", Boolean, nullable=False),
)
"""One row at most; `Projected` says what its columns hold."""

read_by = Table("read_by", metadata, Column("digest", TEXT, primary_key=True))
"""By which flows and subscriptions all sagas were read, one row at most."""


class Projected(Struct, frozen=True):
    """What a projector says of itself; times in milliseconds since the epoch, 0 for never.

    Attributes
    ----------
    who : its host and process.
    beat_ms : when it said so; 0 once it has ended in order.
    as_of_ms : all that was written to Kafka up to then is in the tables.
    complete_ms : when the tables last had all of the saga table, or were begun anew.
    lag_records : how many records wait to be read.
    building : whether the sagas are read from the beginning, and not all are there yet.
    built_records, build_records : how many of that are done, of how many.
    tracker_as_of_ms : all that services had written up to then was in the saga table; 0 if nobody could say.
    tracker_lag_records : how many records waited for the tracker.
    tracker_at_work : whether a tracker was.
    """

    who: str = ""
    beat_ms: int = 0
    as_of_ms: int = 0
    complete_ms: int = 0
    lag_records: int = 0
    building: bool = True
    built_records: int = 0
    build_records: int = 0
    tracker_as_of_ms: int = 0
    tracker_lag_records: int = 0
    tracker_at_work: bool = False


class Tracked(Struct, frozen=True):
    """How far the tracker was when Kafka was asked last.

    Attributes
    ----------
    as_of_ms : all that services had written to Kafka up to then was in the saga table.
    age_ms : how long ago that was.
    lag_records : how many records waited for the tracker.
    at_work : whether one was.
    """

    as_of_ms: int
    age_ms: int
    lag_records: int
    at_work: bool


class Freshness(Struct, frozen=True):
    """How fresh the tables are: as fresh as the tracker and the projector behind it.

    Attributes
    ----------
    as_of_ms : all that was written to Kafka up to then is in; 0 if nothing ever was.
    age_ms : how long ago that was.
    projector_age_ms : how old what the projector has read is: the tracker may be further behind.
    tracker : how far it is; None if nobody could say yet.
    lag_records : how many records wait for the projector, as far as is known.
    alive : whether a projector is at work.
    beat_ms : when it said so last; 0 for never, or if it has ended in order.
    building : whether sagas are still missing because the tables are made from the beginning.
    built : how much of them is there then, from 0 to 1.
    """

    as_of_ms: int
    age_ms: int
    projector_age_ms: int
    tracker: Tracked | None
    lag_records: int
    alive: bool
    beat_ms: int
    building: bool
    built: float


def freshness(connection: Connection, now_ms: int) -> Freshness:
    """How fresh the tables are now."""
    found = read_projected(connection)
    built = 1.0 if not found.building else found.built_records / max(1, found.build_records)
    tracker = _tracked(found, now_ms)
    as_of_ms = found.as_of_ms if tracker is None else min(found.as_of_ms, tracker.as_of_ms)
    return Freshness(
        as_of_ms,
        max(0, now_ms - as_of_ms),
        max(0, now_ms - found.as_of_ms),
        tracker,
        found.lag_records,
        now_ms - found.beat_ms <= ALIVE_MS,
        found.beat_ms,
        found.building,
        min(1.0, built),
    )


def _tracked(found: Projected, now_ms: int) -> Tracked | None:
    if not found.tracker_as_of_ms:
        return None
    age_ms = max(0, now_ms - found.tracker_as_of_ms)
    return Tracked(found.tracker_as_of_ms, age_ms, found.tracker_lag_records, found.tracker_at_work)


def read_projected(connection: Connection) -> Projected:
    """What the last projector has said."""
    row = connection.execute(select(projector)).mappings().one_or_none()
    if row is None:
        return Projected()
    return Projected(**{name: row[name] for name in Projected.__struct_fields__})


def write_projected(connection: Connection, told: Projected) -> None:
    """Say it. In a transaction of the caller."""
    connection.execute(delete(projector))
    fields = {name: getattr(told, name) for name in Projected.__struct_fields__}
    connection.execute(insert(projector).values(id=1, **fields))


def read_by_digest(connection: Connection) -> str:
    """By which flows and subscriptions all sagas were read; "" if they were read by several."""
    return connection.scalar(select(read_by.c.digest)) or ""


def set_read_by(connection: Connection, digest: str) -> None:
    """All sagas are read by these. In a transaction of the caller."""
    connection.execute(delete(read_by))
    connection.execute(insert(read_by).values(digest=digest))
