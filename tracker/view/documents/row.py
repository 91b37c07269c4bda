"""A saga in a list."""

from collections.abc import Iterable

from msgspec import Struct

from tracker.core.contract.findings import Finding
from tracker.core.prediction import Forecast
from tracker.core.status import Status, Waiting
from tracker.view.documents.clocks import (
    ForecastDocument,
    RunningClock,
    ToldDocument,
    forecast_document,
    running_document,
    told_document,
)
from tracker.view.documents.contract import FindingDocument, finding_document
from tracker.view.documents.moment import moment, timestamp
from tracker.view.documents.undo import UndoDocument, undo_document
from tracker.view.row import Row


class WaitingDocument(Struct, frozen=True, gc=False):
    """A service that owes an answer to an event; `failed_attempts` is 0 if it has not answered at all.

    `parked` is since when it has parked the event, as the saga is paused.
    """

    event: str
    type: str
    service: str
    handler: str
    since: str
    waited_ms: int
    failed_attempts: int
    error: str
    retry_at: str | None
    parked: str | None


class GivenUp(Struct, frozen=True, gc=False):
    """A service that dead-lettered an event of it; `error` is the class of the exception."""

    service: str
    error: str


class PausedDocument(Struct, frozen=True, gc=False):
    """Since when a saga is paused, by whom and why."""

    since: str
    by: str
    reason: str


class SagaHead(Struct, frozen=True, kw_only=True, gc=False):
    """What lists and pages of one saga have in common.

    `flow_version` is null if it follows no flow; `where` is the type of its newest event; `ends_with` is of
    one that is being undone, the type of the event that comes when all is undone.
    """

    id: str
    flow: str
    flow_version: int | None
    begins: str
    key: str
    status: Status
    paused: PausedDocument | None
    began: str
    acted: str
    age_ms: int
    where: str
    waiting_for: list[WaitingDocument]
    dead_letters: list[GivenUp]
    told: list[ToldDocument]
    undo: UndoDocument | None
    ends_with: str | None
    forecast: ForecastDocument | None
    findings: list[FindingDocument]


class SagaSummary(SagaHead, frozen=True, kw_only=True, gc=False):
    """A saga in a list: how many events it has, and the clocks that run, the most urgent first."""

    events: int
    clocks: list[RunningClock]


def saga_summary(
    row: Row, now_ms: int, forecast: Forecast | None = None, findings: Iterable[Finding] = ()
) -> SagaSummary:
    """A row for programs."""
    return SagaSummary(
        id=row.id,
        flow=row.flow,
        flow_version=row.flow_version or None,
        begins=row.begins,
        key=row.key,
        status=row.status,
        paused=_paused(row),
        began=timestamp(row.began_ms),
        acted=timestamp(row.acted_ms),
        age_ms=now_ms - row.began_ms,
        where=row.where,
        events=row.events,
        waiting_for=[waiting_document(owed, now_ms) for owed in row.waiting],
        dead_letters=[GivenUp(service, error) for service, error in row.dead_letters],
        clocks=[running_document(clock, now_ms) for clock in row.clocks],
        told=[told_document(told) for told in row.told],
        undo=None if row.undo is None else undo_document(row.undo),
        ends_with=row.ends_with or None,
        forecast=forecast_document(forecast),
        findings=[finding_document(finding) for finding in findings],
    )


def waiting_document(owed: Waiting, now_ms: int) -> WaitingDocument:
    """An answer that is owed."""
    return WaitingDocument(
        event=owed.event,
        type=owed.type,
        service=owed.service,
        handler=owed.handler,
        since=timestamp(owed.since_ms),
        waited_ms=now_ms - owed.since_ms,
        failed_attempts=owed.attempt,
        error=owed.error,
        retry_at=moment(owed.retry_at_ms),
        parked=moment(owed.parked_ms),
    )


def _paused(row: Row) -> PausedDocument | None:
    pause = row.paused
    return None if pause is None else PausedDocument(timestamp(pause.from_ms), pause.by, pause.reason)
