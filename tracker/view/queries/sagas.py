"""Find sagas, and tell everything of one."""

from dataclasses import replace

from msgspec import Struct
from sqlalchemy import Connection

from saga.core.errors import SagaError
from tracker.core.contract.findings import Finding, Kind
from tracker.core.discovery import trace
from tracker.core.errors import UnreadableSaga
from tracker.core.saga import Saga, decode_saga, with_marks
from tracker.view.documents.moment import timestamp
from tracker.view.documents.row import SagaSummary, saga_summary
from tracker.view.documents.saga import SagaDocument, saga_document
from tracker.view.documents.undo import PlanDocument, plan_document
from tracker.view.kin import Relatives
from tracker.view.known import Known
from tracker.view.model.search import Order, Wanted, bytes_of_variant, saga_bytes, search
from tracker.view.outlook import outlook_of
from tracker.view.past import Past, forecast_by
from tracker.view.plan import dry_run
from tracker.view.queries.attention import counting, stuck_sagas
from tracker.view.queries.bytes import sagas_of
from tracker.view.queries.cursor import cursor_text, read_cursor
from tracker.view.queries.kept import Version, kept_past, rows_at
from tracker.view.row import row_of

__all__ = [
    "Order",
    "SagaPage",
    "Wanted",
    "find_sagas",
    "one_saga",
    "plan_of",
    "relatives_of",
    "saga_plan",
    "types_of_variant",
    "whole_saga",
]


class SagaPage(Struct, frozen=True):
    """Sagas of a search; `next` is the cursor of the page behind this one, null on the last.

    `unreadable` counts those of this page that can't be shown: another version wrote them.
    """

    sagas: list[SagaSummary]
    next: str | None
    unreadable: int
    asked_at: str


class UnusableSearch(SagaError):
    """These conditions can't be asked for together. The message says how else."""


def find_sagas(
    connection: Connection,
    known: Known,
    wanted: Wanted,
    order: Order,
    limit: int,
    now_ms: int,
    after: str | None = None,
) -> SagaPage:
    """A page of the sagas that are wanted.

    Raises
    ------
    UnusableCursor
        `after` is no cursor of this order.
    UnusableSearch
        What is stuck is wanted among other findings.
    """
    cursor = None if after is None else read_cursor(order, after)
    stuck: dict[str, list[Finding]] = {}
    if Kind.STUCK in wanted.findings:
        if wanted.findings != {Kind.STUCK}:
            raise UnusableSearch(
                "what is stuck is found by itself: ask for finding=stuck, and then for others"
            )
        stuck = {row.id: told for row, told in stuck_sagas(connection, known, wanted.flow, now_ms)}
        wanted = replace(wanted, findings=frozenset(), ids=frozenset(stuck))
    page = search(connection, wanted, order, limit, now_ms, cursor)
    versions = [Version(row.id, row.partition, row.offset, row.acted_ms) for row in page.rows]
    rows = rows_at(connection, known, versions)
    summaries = [saga_summary(row, now_ms, None, stuck.get(row.id) or counting(row, now_ms)) for row in rows]
    next_ = None if page.cursor is None else cursor_text(order, page.cursor)
    return SagaPage(summaries, next_, len(page.rows) - len(rows), timestamp(now_ms))


def one_saga(connection: Connection, known: Known, saga_id: str, now_ms: int) -> SagaDocument | None:
    """Everything of the saga with this id, or of the one that it belongs to; None if there is none.

    Raises
    ------
    UnreadableSaga
        Another version wrote it.
    """
    saga = whole_saga(connection, saga_id)
    if saga is None:
        return None
    row = row_of(saga, known)
    past = kept_past(connection, known, row, now_ms) if row.in_flight else Past()
    forecast = forecast_by(row, past, now_ms)
    outlook = outlook_of(saga, row, past, known, now_ms)
    return saga_document(saga, known, now_ms, forecast, relatives_of(connection, saga), outlook)


def whole_saga(connection: Connection, saga_id: str) -> Saga | None:
    """The saga with this id, or the one that it belongs to; None if there is none.

    Raises
    ------
    UnreadableSaga
        Another version wrote it.
    """
    value = saga_bytes(connection, saga_id)
    return None if value is None else decode_saga(value)


def types_of_variant(connection: Connection, variant: str) -> tuple[str, ...]:
    """The types of the events of those that went this variant, in their order; none if there is no such saga.

    Raises
    ------
    ValueError
        This is no id of a variant.
    """
    value = bytes_of_variant(connection, variant)
    if value is None:
        return ()
    try:
        return trace(with_marks(decode_saga(value))).types
    except UnreadableSaga:
        return ()


def saga_plan(saga: Saga, known: Known, now_ms: int) -> PlanDocument | None:
    """What a compensation of the saga would do; None where no flow says how to undo it."""
    plan = dry_run(saga, known, "", now_ms)
    return None if plan is None else plan_document(saga.id, plan, payloads=False)


def plan_of(connection: Connection, known: Known, saga_id: str, now_ms: int) -> PlanDocument | None:
    """The same of the saga with this id; None if there is none as well."""
    saga = whole_saga(connection, saga_id)
    return None if saga is None else saga_plan(saga, known, now_ms)


def relatives_of(connection: Connection, saga: Saga) -> Relatives:
    """Parent and children of a saga, as far as they are known."""
    ids = [child.saga for child in saga.children] + ([] if saga.parent is None else [saga.parent.saga])
    return {saga.id: saga for saga in sagas_of(connection, ids)}
