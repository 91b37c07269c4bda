"""The tables of the read model. A change here needs a migration beside it."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Sequence, Table, Text, text

# Compared byte by byte in both databases, so that pages and prefixes mean the same in both.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BYTES = LargeBinary()
# Only an INTEGER of exactly this name is the key of a row itself in SQLite, without an index beside it.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

numbers = Sequence("saga_numbers", metadata=metadata)
"""The numbers of sagas in PostgreSQL; SQLite counts on from the greatest one."""


def _partial(name: str, where: str, *columns: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


sagas = Table(
    "sagas",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("id", TEXT, nullable=False),
    Column("shape", BigInteger, nullable=False),
    Column("business_key", TEXT, nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("acted_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("variant", BigInteger),
    Column("waits_ms", BigInteger),
    Column("warn_at_ms", BigInteger),
    Column("due_ms", BigInteger),
    Column("found_ms", BigInteger),
    Column("events", BigInteger, nullable=False),
    Column("error", BigInteger),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Index("sagas_id", "id", unique=True),
    Index("sagas_shape", "shape", "began_ms"),
    Index("sagas_began", "began_ms"),
    Index("sagas_business_key", "business_key"),
    _partial("sagas_acted", "ended_ms IS NULL", "acted_ms"),
    _partial("sagas_rested", "ended_ms IS NOT NULL", "acted_ms"),
    _partial("sagas_variant", "variant IS NOT NULL", "variant", "ended_ms"),
    _partial("sagas_waits", "waits_ms IS NOT NULL", "waits_ms"),
    # With all that counting needs to know of those that are late or will be.
    _partial("sagas_due", "due_ms IS NOT NULL", "due_ms", "warn_at_ms", "shape"),
    _partial("sagas_warn_at", "warn_at_ms IS NOT NULL", "warn_at_ms"),
    _partial("sagas_error", "error IS NOT NULL", "error"),
)
"""One row a saga: what differs from saga to saga. `tracker.view.model.batch.SagaRow` says what it means."""

shapes = Table(
    "shapes",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("flow", TEXT, nullable=False),
    Column("flow_version", BigInteger, nullable=False),
    Column("begins", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("place", TEXT, nullable=False),
    Column("waiting_for", TEXT, nullable=False),
    Column("services", TEXT, nullable=False),
    Column("types", TEXT, nullable=False),
    Column("edges", TEXT, nullable=False),
    Column("findings", TEXT, nullable=False),
    Column("described", Integer, nullable=False),
    Column("timed", Integer, nullable=False),
    Column("sagas", BigInteger, nullable=False),
)
"""What many sagas have in common, and how many have it now: each search asks these few rows first.

`id` is a hash of the rest. Those that no saga has any more are deleted.
"""

errors = Table(
    "errors",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("text", TEXT, nullable=False),
    Column("sagas", BigInteger, nullable=False),
)
"""What sagas failed with, each text once, and how many have it now; `id` is a hash of the text."""

chains = Table(
    "chains",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("value", BYTES, nullable=False),
)
"""The bytes of each saga as the changelog has them, apart from `sagas`: searches read past none of them."""

joined = Table(
    "joined",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("saga", TEXT, nullable=False),
)
"""Ids of sagas that turned out to be part of another one, and of which."""

unreadable = Table(
    "unreadable",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("error", TEXT, nullable=False),
)
"""Sagas whose newest record is none, and why."""

positions = Table(
    "positions",
    metadata,
    Column("topic", TEXT, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("cluster", TEXT, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
)
"""Up to where each partition is in the other tables, written in the same transaction as they are."""

revisions = Table(
    "revisions",
    metadata,
    Column("last", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("ids", TEXT, nullable=False),
)
"""Which sagas the newest batches touched, one row a batch: its changes have the numbers `first` to `last`."""

hours = Table(
    "hours",
    metadata,
    Column("flow", TEXT, primary_key=True),
    Column("flow_version", BigInteger, primary_key=True),
    Column("begins", TEXT, primary_key=True),
    Column("hour_ms", BigInteger, primary_key=True),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("compensated", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    Column("breached", BigInteger, nullable=False),
    Column("durations", BYTES, nullable=False),
)
"""Sagas by the hour in which they ended."""

traffic = Table(
    "traffic",
    metadata,
    Column("flow", TEXT, primary_key=True),
    Column("flow_version", BigInteger, primary_key=True),
    Column("begins", TEXT, primary_key=True),
    Column("day_ms", BigInteger, primary_key=True),
    Column("value", BYTES, nullable=False),
)
"""How sagas went, by the day (UTC) on which they ended: `tracker.core.contract.traffic`, packed."""
