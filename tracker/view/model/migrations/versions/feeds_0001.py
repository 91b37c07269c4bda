"""What other topics tell, and how fresh all is: a branch of its own, as each owner of tables has one."""

import sqlalchemy as sa
from alembic import op

revision = "feeds_0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "alerts",
        _id(),
        *_texts("saga", "key", "flow", "cause", "message", "rule", "event"),
        *_numbers("flow_version", "at_ms"),
        *_place(),
    )
    op.create_index("alerts_at", "alerts", ["at_ms", "id"])
    op.create_index("alerts_saga", "alerts", ["saga", "at_ms"])
    op.create_table(
        "commands",
        _id(),
        *_texts("saga", "action", "by", "reason", "event"),
        *_numbers("at_ms"),
        sa.Column("undo", sa.Boolean, nullable=False),
        *_place(),
    )
    op.create_index("commands_at", "commands", ["at_ms", "id"])
    op.create_index("commands_saga", "commands", ["saga", "at_ms"])
    op.create_table(
        "answers",
        _id(),
        *_texts("command", "saga", "message"),
        *_numbers("at_ms"),
        sa.Column("accepted", sa.Boolean, nullable=False),
        *_place(),
    )
    op.create_index("answers_at", "answers", ["at_ms", "id"])
    op.create_index("answers_command", "answers", ["command"])
    op.create_table(
        "audit",
        _id(),
        *_texts("by", "role", "action", "object", "reason", "from", "outcome"),
        *_numbers("at_ms"),
        *_place(),
    )
    op.create_index("audit_at", "audit", ["at_ms", "id"])
    op.create_index("audit_by", "audit", ["by", "at_ms"])
    op.create_index("audit_object", "audit", ["object", "at_ms"])
    op.create_table(
        "services",
        sa.Column("service", _TEXT, primary_key=True),
        *_texts("announcement"),
        *_numbers("at_ms"),
        *_place(),
    )
    op.create_table(
        "dead_letters",
        sa.Column("topic", _TEXT, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, primary_key=True),
        *_numbers("at_ms", "attempts", "first_failed_ms", "replays", "size", "from_partition", "from_offset"),
        *_texts("family", "service", "handler", "event_type", "event", "saga", "error", "message", "batch"),
        *_texts("from_topic", "headers"),
    )
    op.create_index("dead_letters_at", "dead_letters", ["at_ms", "topic", "partition", "offset"])
    op.create_index("dead_letters_group", "dead_letters", ["service", "event_type", "error", "at_ms"])
    op.create_index("dead_letters_saga", "dead_letters", ["saga"])
    op.create_table(
        "projector",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        *_texts("who"),
        *_numbers("beat_ms", "as_of_ms", "complete_ms", "lag_records", "built_records", "build_records"),
        sa.Column("building", sa.Boolean, nullable=False),
        *_numbers("tracker_as_of_ms", "tracker_lag_records"),
        sa.Column("tracker_at_work", sa.Boolean, nullable=False),
    )
    op.create_table("read_by", sa.Column("digest", _TEXT, primary_key=True))
    op.create_table(
        "redrives",
        sa.Column("letter", _TEXT, primary_key=True),
        *_texts("outcome", "by", "reason"),
        *_numbers("at_ms"),
        *_texts("batch"),
        *_numbers("replays"),
        *_texts("service", "to", "edited_by"),
        *_place(),
    )


def _id() -> sa.Column[str]:
    return sa.Column("id", _TEXT, primary_key=True)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _place() -> list[sa.Column[int]]:
    return [
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    ]
