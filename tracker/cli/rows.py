"""Sagas as a table."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from tracker.cli.answers import class_name
from tracker.cli.console import STATUS_STYLES
from tracker.cli.findings import kinds_text
from tracker.cli.sla import forecast_text, risk_text, sla_text
from tracker.cli.undos import undo_waiting
from tracker.core.chain import UNKNOWN_FLOW
from tracker.core.status import ENDED, Status
from tracker.view.documents.moment import read_timestamp
from tracker.view.documents.row import SagaHead, SagaSummary, WaitingDocument
from tracker.view.duration import human

ELLIPSIS = "…"


def rows_table(
    sagas: Iterable[SagaSummary], id_length: int, *, with_flow: bool = True, with_forecast: bool = False
) -> Table:
    """Sagas as a table without lines that gives way where the terminal is narrow.

    Deadlines and findings have a column when there are any.
    """
    sagas = list(sagas)
    with_sla = any(saga.clocks or saga.told for saga in sagas)
    with_findings = any(saga.findings for saga in sagas)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    table.add_column("AGE", justify="right", no_wrap=True)
    table.add_column("ID", no_wrap=True)
    table.add_column("STATUS", no_wrap=True)
    # Beside a forecast there is no room for who is waited for; `saga show` has both.
    waiting = [] if with_forecast else ["WAITING FOR"]
    for name in ("KEY", *(["FLOW"] if with_flow else []), "WHERE", *waiting):
        table.add_column(name)
    if with_sla:
        table.add_column("SLA")
    if with_forecast:
        table.add_column("RISK", justify="right", no_wrap=True)
        table.add_column("EXPECTED END")
    if with_findings:
        table.add_column("FINDINGS")
    for saga in sagas:
        flow = [_group(saga)] if with_flow else []
        cells = [_cell(text) for text in (saga.key, *flow, saga.where)]
        if waiting:
            cells.append(_cell(waiting_text(saga)))
        if with_sla:
            cells.append(sla_text(saga.clocks, saga.told))
        if with_forecast:
            cells.append(Text("" if saga.forecast is None else risk_text(saga.forecast)))
            cells.append(_cell(forecast_text(saga.forecast, asked_ms(saga))))
        if with_findings:
            cells.append(kinds_text(saga.findings))
        table.add_row(
            human(saga.age_ms),
            short_id(saga.id, id_length),
            Text(saga.status, style=STATUS_STYLES[saga.status]),
            *cells,
        )
    return table


def asked_ms(saga: SagaHead) -> int:
    """When the document was made, milliseconds since the epoch."""
    return read_timestamp(saga.began) + saga.age_ms


def flow_of(saga: SagaHead) -> str:
    """`order v1`; `(unknown) order.placed` for a saga of no flow."""
    if saga.flow_version is not None:
        return f"{saga.flow} v{saga.flow_version}"
    return f"{UNKNOWN_FLOW} {saga.begins}".rstrip()


def short_id(saga_id: str, length: int) -> str:
    """`…5de2a3b4`: the end of an id, which is what tells it from others; a short one as it is."""
    return saga_id if len(saga_id) <= length + 1 else ELLIPSIS + saga_id[-length:]


def waiting_text(saga: SagaHead) -> str:
    """`payments, 12 s (retry 4) + 2 more`; who dead-lettered it where nobody is waited for.

    Of a saga that is paused: since when and why. Of one that is being undone: who has to undo, or
    the operator who has to help.
    """
    in_flight = saga.status not in ENDED
    if saga.paused is not None:
        for_ms = asked_ms(saga) - read_timestamp(saga.paused.since)
        return f"`saga resume`, {human(for_ms)} ({saga.paused.by}: {saga.paused.reason})"
    if saga.status is Status.STUCK and saga.undo is not None:
        return undo_waiting(saga.undo, asked_ms(saga))
    if saga.status is Status.COMPENSATING:
        return _undo_text(saga)
    if saga.waiting_for and in_flight:
        first, *others = saga.waiting_for
        return _owed_text(first) + (f" + {len(others)} more" if others else "")
    if saga.dead_letters and saga.status in (Status.FAILED, Status.OPEN):
        letter, *more = saga.dead_letters
        reason = f" ({class_name(letter.error)})" if letter.error else ""
        return f"{letter.service}: dead-lettered{reason}" + (f" + {len(more)} more" if more else "")
    if saga.flow_version is not None and in_flight:
        return "nobody, and it is not at its end"
    return "an event that has not been read" if in_flight else ""


def _group(saga: SagaHead) -> str:
    return saga.flow if saga.flow_version is not None or not saga.begins else f"{UNKNOWN_FLOW} {saga.begins}"


def _undo_text(saga: SagaHead) -> str:
    if saga.undo is None:
        return "" if saga.ends_with is None else f"a service for {saga.ends_with}"
    asked = next((owed for owed in saga.waiting_for if owed.event == saga.undo.command_id), None)
    return undo_waiting(saga.undo, asked_ms(saga)) if asked is None else _owed_text(asked)


def _owed_text(owed: WaitingDocument) -> str:
    retry = f" (retry {owed.failed_attempts})" if owed.failed_attempts else ""
    return f"{owed.service}, {human(owed.waited_ms)}{retry}"


def _cell(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")
