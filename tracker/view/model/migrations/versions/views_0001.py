"""Saved views: a branch of its own, so that the tables of others do not wait for it."""

import sqlalchemy as sa
from alembic import op

revision = "views_0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "saved_views",
        sa.Column("owner", _TEXT, primary_key=True),
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column("query", _TEXT, nullable=False),
        sa.Column("saved_ms", sa.BigInteger, nullable=False),
    )
