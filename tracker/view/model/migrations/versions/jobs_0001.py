"""Bulk jobs: a branch of its own, so that the tables of others do not wait for it."""

import sqlalchemy as sa
from alembic import op

revision = "jobs_0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _TEXT, primary_key=True),
        sa.Column("action", _TEXT, nullable=False),
        sa.Column("by", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("about", _TEXT, nullable=False),
        sa.Column("rate", sa.Float, nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("progress", _TEXT, nullable=False),
        sa.Column("message", _TEXT, nullable=False),
        sa.Column("aborting", sa.Boolean, nullable=False),
        sa.Column("runner", _TEXT, nullable=False),
        sa.Column("lease_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("jobs_made", "jobs", ["made_ms", "id"])
    op.create_index("jobs_state", "jobs", ["state", "made_ms"])
    op.create_table(
        "job_items",
        sa.Column("job", _TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("saga", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("message", _TEXT, nullable=False),
    )
    op.create_index("job_items_state", "job_items", ["job", "state", "number"])
