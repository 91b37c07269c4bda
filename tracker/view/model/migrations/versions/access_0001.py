"""Sessions and API tokens: a branch of its own, so that the tables of others do not wait for it."""

import sqlalchemy as sa
from alembic import op

revision = "access_0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "access_sessions",
        sa.Column("id", _TEXT, primary_key=True),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("role", _TEXT, nullable=False),
        sa.Column("how", _TEXT, nullable=False),
        sa.Column("began_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_ms", sa.BigInteger, nullable=False),
        sa.Column("credential", _TEXT, nullable=False),
        sa.Column("id_token", _TEXT, nullable=False),
    )
    op.create_index("access_sessions_ends", "access_sessions", ["ends_ms"])
    op.create_table(
        "access_tokens",
        sa.Column("id", _TEXT, primary_key=True),
        sa.Column("hash", _TEXT, nullable=False, unique=True),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("role", _TEXT, nullable=False),
        sa.Column("made_by", _TEXT, nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("used_ms", sa.BigInteger),
    )
