"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    if op.get_bind().dialect.supports_sequences:
        op.execute(sa.schema.CreateSequence(sa.Sequence("saga_numbers")))
    op.create_table(
        "sagas",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("shape", sa.BigInteger, nullable=False),
        sa.Column("business_key", _TEXT, nullable=False),
        sa.Column("began_ms", sa.BigInteger, nullable=False),
        sa.Column("acted_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("variant", sa.BigInteger),
        sa.Column("waits_ms", sa.BigInteger),
        sa.Column("warn_at_ms", sa.BigInteger),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("found_ms", sa.BigInteger),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("error", sa.BigInteger),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    op.create_index("sagas_id", "sagas", ["id"], unique=True)
    op.create_index("sagas_shape", "sagas", ["shape", "began_ms"])
    op.create_index("sagas_began", "sagas", ["began_ms"])
    op.create_index("sagas_business_key", "sagas", ["business_key"])
    _partial("sagas_acted", "ended_ms IS NULL", "acted_ms")
    _partial("sagas_rested", "ended_ms IS NOT NULL", "acted_ms")
    _partial("sagas_variant", "variant IS NOT NULL", "variant", "ended_ms")
    _partial("sagas_waits", "waits_ms IS NOT NULL", "waits_ms")
    _partial("sagas_due", "due_ms IS NOT NULL", "due_ms", "warn_at_ms", "shape")
    _partial("sagas_warn_at", "warn_at_ms IS NOT NULL", "warn_at_ms")
    _partial("sagas_error", "error IS NOT NULL", "error")
    op.create_table(
        "shapes",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("flow", _TEXT, nullable=False),
        sa.Column("flow_version", sa.BigInteger, nullable=False),
        sa.Column("begins", _TEXT, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("place", _TEXT, nullable=False),
        sa.Column("waiting_for", _TEXT, nullable=False),
        sa.Column("services", _TEXT, nullable=False),
        sa.Column("types", _TEXT, nullable=False),
        sa.Column("edges", _TEXT, nullable=False),
        sa.Column("findings", _TEXT, nullable=False),
        sa.Column("described", sa.Integer, nullable=False),
        sa.Column("timed", sa.Integer, nullable=False),
        sa.Column("sagas", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "errors",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("text", _TEXT, nullable=False),
        sa.Column("sagas", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "chains",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "joined",
        sa.Column("id", _TEXT, primary_key=True),
        sa.Column("saga", _TEXT, nullable=False),
    )
    op.create_table(
        "unreadable",
        sa.Column("id", _TEXT, primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("error", _TEXT, nullable=False),
    )
    op.create_table(
        "positions",
        sa.Column("topic", _TEXT, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("cluster", _TEXT, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "revisions",
        sa.Column("last", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("ids", _TEXT, nullable=False),
    )
    op.create_table(
        "hours",
        sa.Column("flow", _TEXT, primary_key=True),
        sa.Column("flow_version", sa.BigInteger, primary_key=True),
        sa.Column("begins", _TEXT, primary_key=True),
        sa.Column("hour_ms", sa.BigInteger, primary_key=True),
        sa.Column("completed", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("compensated", sa.BigInteger, nullable=False),
        sa.Column("cancelled", sa.BigInteger, nullable=False),
        sa.Column("breached", sa.BigInteger, nullable=False),
        sa.Column("durations", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "traffic",
        sa.Column("flow", _TEXT, primary_key=True),
        sa.Column("flow_version", sa.BigInteger, primary_key=True),
        sa.Column("begins", _TEXT, primary_key=True),
        sa.Column("day_ms", sa.BigInteger, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )


def _partial(name: str, where: str, *columns: str) -> None:
    told = sa.text(where)
    op.create_index(name, "sagas", list(columns), sqlite_where=told, postgresql_where=told)
