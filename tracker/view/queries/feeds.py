"""What other topics tell: alerts, commands of operators with their answers, the audit log."""

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, select, tuple_

from tracker.view.documents.freshness import FreshnessDocument, TrackerFreshness
from tracker.view.documents.moment import timestamp
from tracker.view.model import feeds
from tracker.view.model.freshness import freshness
from tracker.view.model.search import Cursor, Order
from tracker.view.model.shape import stored
from tracker.view.queries.cursor import cursor_text, read_cursor

Document = TypeVar("Document", bound=Struct)


class AlertDocument(Struct, frozen=True, gc=False):
    """An alert of the tracker; `rule` and `event` are null where it is about neither."""

    id: str
    at: str
    cause: str
    message: str
    saga: str
    key: str
    flow: str
    flow_version: int | None
    rule: str | None
    event: str | None


class AlertsPage(Struct, frozen=True):
    """Alerts, the newest first; `next` is the cursor of the page behind this one, null on the last."""

    alerts: list[AlertDocument]
    next: str | None


class CommandDocument(Struct, frozen=True, gc=False):
    """What an operator asked for, and the answer; `accepted` is null as long as there is none.

    `undo` is for `cancel`, `event` for what is about one undo.
    """

    id: str
    at: str
    saga: str
    action: str
    by: str
    reason: str
    event: str | None
    undo: bool
    accepted: bool | None
    message: str | None


class CommandsPage(Struct, frozen=True):
    """Commands, the newest first; `next` is the cursor of the page behind this one, null on the last."""

    commands: list[CommandDocument]
    next: str | None


class AuditDocument(Struct, frozen=True, rename={"from_": "from"}, gc=False):
    """Something that somebody asked for, or was refused; it was written down before it was done."""

    id: str
    at: str
    by: str
    role: str
    action: str
    object: str
    reason: str
    from_: str
    outcome: str


class AuditPage(Struct, frozen=True):
    """The audit log, the newest first; `next` is the cursor of the page behind this one, null on the last."""

    records: list[AuditDocument]
    next: str | None


def alerts_page(
    connection: Connection, saga: str | None, flow: str | None, limit: int, after: str | None
) -> AlertsPage:
    """A page of the alerts of a saga, a flow, or of all.

    Raises
    ------
    UnusableCursor
        `after` is none.
    """
    query = select(feeds.alerts).where(*_equal(feeds.alerts, saga=saga, flow=flow))
    return AlertsPage(*_page(connection, feeds.alerts, query, limit, after, _alert))


def commands_page(
    connection: Connection, saga: str | None, by: str | None, limit: int, after: str | None
) -> CommandsPage:
    """A page of the commands for a saga, of one operator, or of all; cursors as for alerts."""
    c = feeds.commands
    query = (
        select(c, feeds.answers.c.accepted, feeds.answers.c.message)
        .select_from(c.outerjoin(feeds.answers, feeds.answers.c.command == c.c.id))
        .where(*_equal(c, saga=saga, by=by))
    )
    return CommandsPage(*_page(connection, c, query, limit, after, _command))


def one_command(connection: Connection, command_id: str) -> CommandDocument | None:
    """A command as it stands on `saga.commands`, with its answer; None if it is not there yet."""
    c = feeds.commands
    found = connection.execute(
        select(c, feeds.answers.c.accepted, feeds.answers.c.message)
        .select_from(c.outerjoin(feeds.answers, feeds.answers.c.command == c.c.id))
        .where(c.c.id == command_id)
    )
    row = found.mappings().first()
    return None if row is None else _command(row)


def audit_page(
    connection: Connection, by: str | None, object_: str | None, limit: int, after: str | None
) -> AuditPage:
    """A page of the audit log: of one person, about one thing, or all; cursors as for alerts."""
    query = select(feeds.audit).where(*_equal(feeds.audit, by=by, object=object_))
    return AuditPage(*_page(connection, feeds.audit, query, limit, after, _audit))


def model_freshness(connection: Connection, now_ms: int) -> FreshnessDocument:
    """How fresh all answers are now."""
    found = freshness(connection, now_ms)
    tracker = found.tracker
    return FreshnessDocument(
        timestamp(found.as_of_ms) if found.as_of_ms else None,
        found.age_ms,
        found.projector_age_ms,
        None
        if tracker is None
        else TrackerFreshness(
            timestamp(tracker.as_of_ms), tracker.age_ms, tracker.lag_records, tracker.at_work
        ),
        found.lag_records,
        found.alive,
        found.building,
        found.built,
    )


def _page(
    connection: Connection,
    table: Table,
    query: Select[Any],
    limit: int,
    after: str | None,
    document: Callable[[RowMapping], Document],
) -> tuple[list[Document], str | None]:
    at, id_ = table.c.at_ms, table.c.id
    if after is not None:
        query = query.where(tuple_(at, id_) < tuple_(*read_cursor(Order.NEWEST, after)))
    rows = connection.execute(query.order_by(at.desc(), id_.desc()).limit(limit + 1)).mappings().all()
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    next_ = None if last is None else cursor_text(Order.NEWEST, Cursor(last["at_ms"], last["id"]))
    return [document(row) for row in shown], next_


def _equal(table: Table, **wanted: str | None) -> list[ColumnElement[bool]]:
    return [table.c[name] == stored(value) for name, value in wanted.items() if value is not None]


def _alert(row: RowMapping) -> AlertDocument:
    return AlertDocument(
        row["id"],
        timestamp(row["at_ms"]),
        row["cause"],
        row["message"],
        row["saga"],
        row["key"],
        row["flow"],
        row["flow_version"] or None,
        row["rule"] or None,
        row["event"] or None,
    )


def _command(row: RowMapping) -> CommandDocument:
    return CommandDocument(
        row["id"],
        timestamp(row["at_ms"]),
        row["saga"],
        row["action"],
        row["by"],
        row["reason"],
        row["event"] or None,
        row["undo"],
        row["accepted"],
        row["message"],
    )


def _audit(row: RowMapping) -> AuditDocument:
    return AuditDocument(
        row["id"],
        timestamp(row["at_ms"]),
        row["by"],
        row["role"],
        row["action"],
        row["object"],
        row["reason"],
        row["from"],
        row["outcome"],
    )
