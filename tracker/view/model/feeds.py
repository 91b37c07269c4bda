"""What other topics tell, as tables: alerts, services, dead letters, commands, answers, the audit log.

Every row says where its record stands. A record that comes twice makes one row, so that these tables are
read again without being emptied, and what Kafka has dropped since stays in them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from msgspec import DecodeError, Struct, ValidationError, json, structs
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    and_,
    delete,
    insert,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite

from saga.core.delivery import DEAD_LETTERS_PREFIX
from saga.core.receipt import SERVICES_TOPIC, ServiceAnnouncement
from tracker.core.audit import AUDIT_TOPIC, AuditRecord
from tracker.core.command import COMMANDS_TOPIC, Command
from tracker.core.dead_letter import Place, gave_up, read_letter
from tracker.core.effect import ALERTS_TOPIC, ANSWERS_TOPIC, Alert, Reply
from tracker.core.redrive import REDRIVES_TOPIC, Treatment
from tracker.view.model.shape import stored
from tracker.view.model.tables import TEXT, metadata, positions
from tracker.view.model.write import move

HEADER_LENGTH_MAX = 8_192
_INT_MAX = 2**63 - 1
_ROWS_MAX = 5_000


def _place() -> tuple[Column[Any], Column[Any]]:
    return Column("partition", Integer, nullable=False), Column("offset", BigInteger, nullable=False)


alerts = Table(
    "alerts",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("saga", TEXT, nullable=False),
    Column("key", TEXT, nullable=False),
    Column("flow", TEXT, nullable=False),
    Column("flow_version", BigInteger, nullable=False),
    Column("cause", TEXT, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("message", TEXT, nullable=False),
    Column("rule", TEXT, nullable=False),
    Column("event", TEXT, nullable=False),
    *_place(),
    Index("alerts_at", "at_ms", "id"),
    Index("alerts_saga", "saga", "at_ms"),
)
"""`tracker.core.effect.Alert`."""

commands = Table(
    "commands",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("saga", TEXT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("by", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("event", TEXT, nullable=False),
    Column("undo", Boolean, nullable=False),
    *_place(),
    Index("commands_at", "at_ms", "id"),
    Index("commands_saga", "saga", "at_ms"),
)
"""`tracker.core.command.Command`."""

answers = Table(
    "answers",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("command", TEXT, nullable=False),
    Column("saga", TEXT, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("message", TEXT, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    *_place(),
    Index("answers_at", "at_ms", "id"),
    Index("answers_command", "command"),
)
"""`tracker.core.effect.Reply`."""

audit = Table(
    "audit",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("by", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("object", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("from", TEXT, nullable=False),
    Column("outcome", TEXT, nullable=False),
    *_place(),
    Index("audit_at", "at_ms", "id"),
    Index("audit_by", "by", "at_ms"),
    Index("audit_object", "object", "at_ms"),
)
"""`tracker.core.audit.AuditRecord`; its `from_` is the column `from`."""

services = Table(
    "services",
    metadata,
    Column("service", TEXT, primary_key=True),
    Column("announcement", TEXT, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    *_place(),
)
"""What each service has announced of itself last, as the JSON of `saga.core.receipt.ServiceAnnouncement`."""

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("topic", TEXT, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("family", TEXT, nullable=False),
    Column("service", TEXT, nullable=False),
    Column("handler", TEXT, nullable=False),
    Column("event_type", TEXT, nullable=False),
    Column("event", TEXT, nullable=False),
    Column("saga", TEXT, nullable=False),
    Column("error", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("first_failed_ms", BigInteger, nullable=False),
    Column("replays", BigInteger, nullable=False),
    Column("batch", TEXT, nullable=False),
    Column("from_topic", TEXT, nullable=False),
    Column("from_partition", BigInteger, nullable=False),
    Column("from_offset", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("headers", TEXT, nullable=False),
    Index("dead_letters_at", "at_ms", "topic", "partition", "offset"),
    Index("dead_letters_group", "service", "event_type", "error", "at_ms"),
    Index("dead_letters_saga", "saga"),
)
"""One row a record of a dead-letter topic, without its payload: `tracker.core.dead_letter.Letter`.

`service` is never "": the name of the topic tells it where no header does. `from_*`: where the event
stood that was given up. `size`: bytes of the payload. `headers`: a JSON list of pairs, name and text; the
text is null as in the record, or cut to `HEADER_LENGTH_MAX`.
"""

redrives = Table(
    "redrives",
    metadata,
    Column("letter", TEXT, primary_key=True),
    Column("outcome", TEXT, nullable=False),
    Column("by", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("batch", TEXT, nullable=False),
    Column("replays", BigInteger, nullable=False),
    Column("service", TEXT, nullable=False),
    Column("to", TEXT, nullable=False),
    Column("edited_by", TEXT, nullable=False),
    *_place(),
)
"""What was done last about a dead letter: `tracker.core.redrive.Treatment`, without the payload."""


class FeedRecord(Struct, frozen=True, gc=False):
    """A record of one of these topics; `at_ms` is its timestamp."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


Row = dict[str, object]


class Feed(NamedTuple):
    """How records of a topic become rows of a table.

    `row` gives None for what is none of ours: these topics are open to every language. `newest`: a later
    record replaces an earlier one of the same key, and one without a value removes it; otherwise the first
    one stays.
    """

    table: Table
    row: Callable[[FeedRecord], Row | None]
    newest: bool = False


def feed_of(topic: str) -> Feed | None:
    """The feed of this topic; None if it has none."""
    return _DEAD_LETTERS if topic.startswith(DEAD_LETTERS_PREFIX) else _FEEDS.get(topic)


def feed_topics(existing: Iterable[str]) -> list[str]:
    """Those of the topics that are fed into tables, sorted."""
    return sorted(topic for topic in existing if feed_of(topic) is not None)


def write_feed(
    connection: Connection, topic: str, records: Iterable[FeedRecord], moved: Mapping[int, tuple[int, int]]
) -> int:
    """Write records of a topic that has a feed; the number of those that are none of ours.

    `moved` has by partition where they begin and end. In a transaction of the caller.

    Raises
    ------
    AnotherProjector
        A partition does not stand where the records begin. Nothing may be committed then.
    """
    move(connection, topic, moved)
    feed = feed_of(topic)
    assert feed is not None, f"{topic} has no feed"
    if feed.newest:
        return _write_newest(connection, feed, records)
    rows = [feed.row(record) for record in records]
    found = [row for row in rows if row is not None]
    _put(connection, feed.table, found)
    return len(rows) - len(found)


def _write_newest(connection: Connection, feed: Feed, records: Iterable[FeedRecord]) -> int:
    (key,) = feed.table.primary_key.columns
    newest: dict[str, FeedRecord] = {_text(record.key): record for record in records}
    connection.execute(delete(feed.table).where(key.in_(newest)))
    rows = [feed.row(record) for record in newest.values() if record.value is not None]
    found = [row for row in rows if row is not None]
    _put(connection, feed.table, found)
    return len(rows) - len(found)


def _put(connection: Connection, table: Table, rows: list[Row]) -> None:
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def read_places(connection: Connection) -> dict[tuple[str, int], tuple[str, int]]:
    """By topic and partition the cluster and the next offset to read, of all topics."""
    found = connection.execute(select(positions))
    return {(row.topic, row.partition): (row.cluster, row.next_offset) for row in found}


def set_places(connection: Connection, cluster: str, places: Mapping[tuple[str, int], int]) -> None:
    """By topic and partition where to go on, whatever was there."""
    if not places:
        return
    keys = tuple_(positions.c.topic, positions.c.partition)
    connection.execute(delete(positions).where(keys.in_(list(places))))
    told = [
        {"topic": topic, "partition": partition, "cluster": cluster, "next_offset": offset}
        for (topic, partition), offset in places.items()
    ]
    connection.execute(insert(positions), told)


def forget_feeds(connection: Connection) -> None:
    """Empty these tables, and forget all positions: they are those of another cluster."""
    for feed in (*_FEEDS.values(), _DEAD_LETTERS):
        connection.execute(delete(feed.table))
    connection.execute(delete(positions))


def forget_dead_letters(connection: Connection, places: Iterable[tuple[str, int]]) -> None:
    """Delete those of these partitions: their topics were deleted, and made again."""
    for topic, partition in places:
        at = and_(dead_letters.c.topic == topic, dead_letters.c.partition == partition)
        connection.execute(delete(dead_letters).where(at))


def forget_older(connection: Connection, before_ms: int, audit_before_ms: int) -> int:
    """Delete what happened before these times, `_ROWS_MAX` of each table at most; how many rows."""
    limits = (alerts, before_ms), (commands, before_ms), (answers, before_ms), (audit, audit_before_ms)
    gone = 0
    for table, limit_ms in limits:
        old = select(table.c.id).where(table.c.at_ms < limit_ms).order_by(table.c.at_ms).limit(_ROWS_MAX)
        gone += connection.execute(delete(table).where(table.c.id.in_(old))).rowcount
    return gone


def forget_dropped(connection: Connection, begins: Mapping[tuple[str, int], int]) -> int:
    """Delete dead letters whose records Kafka has no more; how many rows.

    `begins` has by topic and partition the first offset that there is, of all dead-letter topics.
    """
    c = dead_letters.c
    known = connection.execute(select(c.topic, c.partition).distinct())
    gone = 0
    for topic, partition in known:
        place = and_(c.topic == topic, c.partition == partition)
        begin = begins.get((topic, partition))
        if begin is None:
            gone += connection.execute(delete(dead_letters).where(place)).rowcount
            at = and_(positions.c.topic == topic, positions.c.partition == partition)
            connection.execute(delete(positions).where(at))
        else:
            gone += connection.execute(delete(dead_letters).where(place, c.offset < begin)).rowcount
    return gone


def _told(table: Table, kind: type[Struct]) -> Callable[[FeedRecord], Row | None]:
    """Rows with the columns of a table, from JSON records with fields of the same names."""
    decoder = json.Decoder(kind)
    names = {column.name for column in table.columns}

    def row(record: FeedRecord) -> Row | None:
        try:
            found = structs.asdict(decoder.decode(record.value or b""))
        except (DecodeError, ValidationError, UnicodeDecodeError):
            return None
        fields = {name.rstrip("_"): value for name, value in found.items()}
        told = {name: _plain(value) for name, value in fields.items() if name in names}
        return {**told, "partition": record.partition, "offset": record.offset}

    return row


def _announcement(record: FeedRecord) -> Row | None:
    try:
        json.decode(record.value or b"", type=ServiceAnnouncement)
    except (DecodeError, ValidationError, UnicodeDecodeError):
        return None
    return {
        "service": _text(record.key),
        "announcement": _text(record.value),
        "at_ms": record.at_ms,
        "partition": record.partition,
        "offset": record.offset,
    }


def _dead_letter(record: FeedRecord) -> Row:
    at = Place(record.topic, record.partition, record.offset)
    letter = read_letter(record.headers, at, record.at_ms)
    told = [
        (name, None if value is None else _text(value)[:HEADER_LENGTH_MAX]) for name, value in record.headers
    ]
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "at_ms": _int(letter.at_ms),
        "family": letter.family,
        "service": gave_up(stored(letter.service), record.topic),
        "handler": stored(letter.handler),
        "event_type": stored(letter.type),
        "event": stored(letter.event),
        "saga": stored(letter.saga),
        "error": stored(letter.error),
        "message": stored(letter.message),
        "attempts": _int(letter.attempts),
        "first_failed_ms": _int(letter.first_failed_ms),
        "replays": _int(letter.replays),
        "batch": stored(letter.batch),
        "from_topic": stored(letter.original.topic),
        "from_partition": _int(letter.original.partition),
        "from_offset": _int(letter.original.offset),
        "size": len(record.value or b""),
        "headers": json.encode(told).decode(),
    }


def _plain(value: object) -> object:
    if isinstance(value, str):
        return stored(value)
    return _int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _text(value: bytes | None) -> str:
    return stored((value or b"").decode(errors="replace"))


def _int(number: int) -> int:
    return max(-_INT_MAX, min(number, _INT_MAX))


_FEEDS = {
    ALERTS_TOPIC: Feed(alerts, _told(alerts, Alert)),
    COMMANDS_TOPIC: Feed(commands, _told(commands, Command)),
    ANSWERS_TOPIC: Feed(answers, _told(answers, Reply)),
    AUDIT_TOPIC: Feed(audit, _told(audit, AuditRecord)),
    SERVICES_TOPIC: Feed(services, _announcement, newest=True),
    REDRIVES_TOPIC: Feed(redrives, _told(redrives, Treatment), newest=True),
}
_DEAD_LETTERS = Feed(dead_letters, _dead_letter)
