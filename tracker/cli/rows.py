"""Rows of sagas as a table and as JSON."""

from collections.abc import Callable, Iterable

from rich.table import Table
from rich.text import Text

from tracker.cli.answers import class_name
from tracker.cli.console import STATUS_STYLES
from tracker.cli.duration import human
from tracker.cli.moment import timestamp
from tracker.cli.sla import forecast_json, forecast_text, risk_text, running_json, sla_text, told_json
from tracker.cli.undos import undo_json, undo_waiting
from tracker.core.prediction import Forecast
from tracker.core.status import Status, Waiting
from tracker.view.flows import group_of
from tracker.view.row import Row

ELLIPSIS = "…"

Foresight = Callable[[Row], Forecast | None]


def rows_table(
    rows: Iterable[Row],
    now_ms: int,
    id_length: int,
    *,
    with_flow: bool = True,
    foresight: Foresight | None = None,
) -> Table:
    """Sagas as a table without lines that gives way where the terminal is narrow.

    Deadlines have a column when there are any; forecasts when `foresight` gives them.
    """
    rows = list(rows)
    with_sla = any(row.clocks or row.told for row in rows)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    table.add_column("AGE", justify="right", no_wrap=True)
    table.add_column("ID", no_wrap=True)
    table.add_column("STATUS", no_wrap=True)
    # Beside a forecast there is no room for who is waited for; `saga show` has both.
    waiting = ["WAITING FOR"] if foresight is None else []
    for name in ("KEY", *(["FLOW"] if with_flow else []), "WHERE", *waiting):
        table.add_column(name)
    if with_sla:
        table.add_column("SLA")
    if foresight is not None:
        table.add_column("RISK", justify="right", no_wrap=True)
        table.add_column("EXPECTED END")
    for row in rows:
        flow = [group_of(row)] if with_flow else []
        cells = [_cell(text) for text in (row.key, *flow, row.where)]
        if waiting:
            cells.append(_cell(waiting_text(row, now_ms)))
        if with_sla:
            cells.append(sla_text(row, now_ms))
        if foresight is not None:
            forecast = foresight(row)
            cells.append(Text("" if forecast is None else risk_text(forecast)))
            cells.append(_cell(forecast_text(forecast, now_ms)))
        table.add_row(
            human(now_ms - row.began_ms),
            short_id(row.id, id_length),
            Text(row.status, style=STATUS_STYLES[row.status]),
            *cells,
        )
    return table


def short_id(saga_id: str, length: int) -> str:
    """`…5de2a3b4`: the end of an id, which is what tells it from others; a short one as it is."""
    return saga_id if len(saga_id) <= length + 1 else ELLIPSIS + saga_id[-length:]


def waiting_text(row: Row, now_ms: int) -> str:
    """`payments, 12 s (retry 4) + 2 more`; who dead-lettered it where nobody is waited for.

    Of a saga that is being undone: who has to undo, or the operator who has to help.
    """
    if row.status is Status.STUCK and row.undo is not None:
        return undo_waiting(row.undo, now_ms)
    if row.status is Status.COMPENSATING:
        return _undo_text(row, now_ms)
    if row.waiting and row.in_flight:
        first, *others = row.waiting
        return _owed_text(first, now_ms) + (f" + {len(others)} more" if others else "")
    if row.dead_letters and row.status in (Status.FAILED, Status.OPEN):
        (service, error), *more = row.dead_letters
        reason = f" ({class_name(error)})" if error else ""
        return f"{service}: dead-lettered{reason}" + (f" + {len(more)} more" if more else "")
    if row.of_flow and row.in_flight:
        return "nobody, and it is not at its end"
    return "an event that has not been read" if row.in_flight else ""


def row_json(row: Row, now_ms: int, forecast: Forecast | None = None) -> dict[str, object]:
    """A row for programs: times in RFC 3339, durations in milliseconds."""
    return {
        "id": row.id,
        "flow": row.flow,
        "flow_version": row.flow_version or None,
        "begins": row.begins,
        "key": row.key,
        "status": row.status,
        "began": timestamp(row.began_ms),
        "acted": timestamp(row.acted_ms),
        "age_ms": now_ms - row.began_ms,
        "where": row.where,
        "events": row.events,
        "waiting_for": [waiting_json(owed, now_ms) for owed in row.waiting],
        "dead_letters": [{"service": service, "error": error} for service, error in row.dead_letters],
        "clocks": [running_json(clock, now_ms) for clock in row.clocks],
        "told": [told_json(told) for told in row.told],
        "undo": None if row.undo is None else undo_json(row.undo),
        "forecast": forecast_json(forecast),
    }


def waiting_json(owed: Waiting, now_ms: int) -> dict[str, object]:
    """An answer that is owed, for programs."""
    return {
        "event": owed.event,
        "type": owed.type,
        "service": owed.service,
        "handler": owed.handler,
        "since": timestamp(owed.since_ms),
        "waited_ms": now_ms - owed.since_ms,
        "failed_attempts": owed.attempt,
        "error": owed.error,
        "retry_at": None if owed.retry_at_ms < 0 else timestamp(owed.retry_at_ms),
    }


def _undo_text(row: Row, now_ms: int) -> str:
    if row.undo is None:
        return f"a service for {row.ends_with}" if row.ends_with else ""
    asked = next((owed for owed in row.waiting if owed.event == row.undo.command_id), None)
    return undo_waiting(row.undo, now_ms) if asked is None else _owed_text(asked, now_ms)


def _owed_text(owed: Waiting, now_ms: int) -> str:
    retry = f" (retry {owed.attempt})" if owed.retrying else ""
    return f"{owed.service}, {human(now_ms - owed.since_ms)}{retry}"


def _cell(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")
