"""Sagas in flight that somebody should look at: they wait too long, or are likely to be late."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, or_

from tracker.core.contract.findings import Finding
from tracker.core.contract.stuck import FLOOR_MS, Stuck, stuck
from tracker.core.contract.traffic import Traffic
from tracker.core.status import Status
from tracker.view.documents.moment import timestamp
from tracker.view.documents.row import SagaSummary, saga_summary
from tracker.view.known import Known
from tracker.view.model.shape import stored
from tracker.view.model.tables import sagas, shapes
from tracker.view.past import Past, forecast_by
from tracker.view.queries.kept import kept_past, kept_traffic, rows_where
from tracker.view.risk import at_risk
from tracker.view.row import Row

CANDIDATES_MAX = 1_000
"""So many are looked at, those first that have waited longest or are due next."""


class SagaList(Struct, frozen=True):
    """Sagas, those first that need a look most.

    `more`: there may be others, which have not waited so long or are due later.
    """

    sagas: list[SagaSummary]
    more: bool
    asked_at: str


def stuck_list(connection: Connection, known: Known, flow: str | None, limit: int, now_ms: int) -> SagaList:
    """Sagas that wait much longer than others did, or for an operator; the longest wait first."""
    found, more = stuck_waits(connection, known, flow, now_ms)
    told = [saga_summary(row, now_ms, None, _with_waits(row, waits, now_ms)) for row, waits in found[:limit]]
    return SagaList(told, more or len(found) > limit, timestamp(now_ms))


def risk_list(connection: Connection, known: Known, flow: str | None, limit: int, now_ms: int) -> SagaList:
    """Sagas that have been warned of, are overdue, or are likely to be; the likeliest first."""
    going = shapes.c.status.in_([Status.OPEN.value, Status.RETRYING.value])
    conditions = [sagas.c.due_ms.is_not(None), going, *_of(flow)]
    rows, looked_at = rows_where(connection, known, conditions, sagas.c.due_ms.asc(), CANDIDATES_MAX)
    pasts: dict[str, Past] = {}
    found = []
    for row in rows:
        if row.flow not in pasts:
            pasts[row.flow] = kept_past(connection, known, row, now_ms)
        forecast = forecast_by(row, pasts[row.flow], now_ms)
        if forecast is not None and row.clocks and at_risk(row, forecast, now_ms):
            found.append((-forecast.risk, row.clocks[0].due_ms, row.id, row, forecast))
    found.sort(key=lambda each: each[:3])
    told = [saga_summary(row, now_ms, forecast, counting(row, now_ms)) for *_, row, forecast in found[:limit]]
    return SagaList(told, len(found) > limit or looked_at == CANDIDATES_MAX, timestamp(now_ms))


def stuck_sagas(
    connection: Connection, known: Known, flow: str | None, now_ms: int
) -> Iterator[tuple[Row, list[Finding]]]:
    """The same as rows, with all that is wrong with each."""
    for row, waits in stuck_waits(connection, known, flow, now_ms).found:
        yield row, _with_waits(row, waits, now_ms)


class StuckWaits(NamedTuple):
    """Sagas with the waits of each that are stuck; none where an operator is waited for.

    `more`: those that have waited less long were not looked at.
    """

    found: list[tuple[Row, tuple[Stuck, ...]]]
    more: bool


def stuck_waits(connection: Connection, known: Known, flow: str | None, now_ms: int) -> StuckWaits:
    """The same as rows, those first that an operator is waited for."""
    of = [sagas.c.ended_ms.is_(None), *_of(flow)]
    by_hand = [shapes.c.status == Status.STUCK.value, *of]
    waiting = [sagas.c.waits_ms <= now_ms - FLOOR_MS, *of]
    first, by_hand_count = rows_where(connection, known, by_hand, sagas.c.acted_ms.asc(), CANDIDATES_MAX)
    then, waiting_count = rows_where(connection, known, waiting, sagas.c.waits_ms.asc(), CANDIDATES_MAX)
    told: list[tuple[Row, tuple[Stuck, ...]]] = []
    pasts: dict[tuple[str, str], Traffic] = {}
    for row in {row.id: row for row in (*first, *then)}.values():
        key = row.flow, row.begins
        if key not in pasts:
            pasts[key] = kept_traffic(connection, known, row, now_ms)
        its = known.flows.get(row.flow, row.flow_version)
        found = stuck((), row.waits, its, pasts[key].answers, now_ms)
        if found or row.status is Status.STUCK:
            told.append((row, found))
    return StuckWaits(told, max(by_hand_count, waiting_count) >= CANDIDATES_MAX)


def _with_waits(row: Row, waits: Iterable[Stuck], now_ms: int) -> list[Finding]:
    return sorted([*counting(row, now_ms), *(wait.finding() for wait in waits)])


def counting(row: Row, now_ms: int) -> list[Finding]:
    """What is wrong with a saga and counts by now."""
    return [finding for finding in row.findings if finding.at_ms <= now_ms]


def _of(flow: str | None) -> list[ColumnElement[bool]]:
    if flow is None:
        return []
    return [or_(shapes.c.flow == stored(flow), shapes.c.begins == stored(flow))]
