"""Rows of sagas as a table and as JSON."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.duration import human
from tracker.cli.moment import timestamp
from tracker.core.status import Status, Waiting
from tracker.view.row import Row

ELLIPSIS = "…"


def rows_table(rows: Iterable[Row], now_ms: int, id_length: int, *, with_flow: bool = True) -> Table:
    """Sagas as a table without lines that gives way where the terminal is narrow."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    table.add_column("AGE", justify="right", no_wrap=True)
    table.add_column("ID", no_wrap=True)
    table.add_column("STATUS", no_wrap=True)
    for name in ("KEY", *(["FLOW"] if with_flow else []), "WHERE", "WAITING FOR"):
        table.add_column(name)
    for row in rows:
        flow = [row.flow] if with_flow else []
        table.add_row(
            human(now_ms - row.began_ms),
            short_id(row.id, id_length),
            Text(row.status, style=STATUS_STYLES[row.status]),
            *(_cell(text) for text in (row.key, *flow, row.where, waiting_text(row, now_ms))),
        )
    return table


def short_id(saga_id: str, length: int) -> str:
    """`…5de2a3b4`: the end of an id, which is what tells it from others; a short one as it is."""
    return saga_id if len(saga_id) <= length + 1 else ELLIPSIS + saga_id[-length:]


def waiting_text(row: Row, now_ms: int) -> str:
    """`payments, 12 s (retry 4) + 2 more`; who dead-lettered it where nobody is waited for."""
    if row.waiting:
        first, *others = row.waiting
        return _owed_text(first, now_ms) + (f" + {len(others)} more" if others else "")
    if row.status is Status.FAILED:
        (service, error), *more = row.dead_letters
        reason = f" ({error})" if error else ""
        return f"{service}: dead-lettered{reason}" + (f" + {len(more)} more" if more else "")
    return "an event that has not been read" if row.in_flight else ""


def row_json(row: Row, now_ms: int) -> dict[str, object]:
    """A row for programs: times in RFC 3339, durations in milliseconds."""
    return {
        "id": row.id,
        "flow": row.flow,
        "key": row.key,
        "status": row.status,
        "began": timestamp(row.began_ms),
        "acted": timestamp(row.acted_ms),
        "age_ms": now_ms - row.began_ms,
        "where": row.where,
        "events": row.events,
        "waiting_for": [waiting_json(owed, now_ms) for owed in row.waiting],
        "dead_letters": [{"service": service, "error": error} for service, error in row.dead_letters],
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


def _owed_text(owed: Waiting, now_ms: int) -> str:
    retry = f" (retry {owed.attempt})" if owed.retrying else ""
    return f"{owed.service}, {human(now_ms - owed.since_ms)}{retry}"


def _cell(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")
