"""`saga list`: which sagas there are, and who they wait for."""

import sys
import time
from typing import Annotated

import typer
from msgspec import json as msgspec_json

from saga.core.duration import duration_ms
from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import note, output
from tracker.cli.rows import row_json, rows_table
from tracker.core.prediction import Forecast
from tracker.core.status import Status
from tracker.view.changelog import open_changelog
from tracker.view.known import read_known
from tracker.view.row import Row
from tracker.view.sagas import Sagas
from tracker.view.selection import Selection, Sort


def list_(
    status: Annotated[list[Status] | None, typer.Option(help="Only these; may be given repeatedly.")] = None,
    flow: Annotated[
        str | None, typer.Option(help="Only sagas of this flow, or that begin with this event.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only sagas with this business key.")] = None,
    waiting_for: Annotated[
        str | None, typer.Option(help="Only those that this service has to answer.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Only those that began longer ago: 10s, 5m, 2h.")
    ] = None,
    at_risk: Annotated[
        bool,
        typer.Option(
            "--at-risk",
            help="Only those likely to breach a deadline, or warned of one already; the likeliest first.",
        ),
    ] = False,
    sort: Annotated[Sort, typer.Option(help="status: what needs a look first; last: newest event first.")] = (
        Sort.STATUS
    ),
    limit: Annotated[int, typer.Option(min=0, help="Show so many at most; 0 shows all.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array instead of a table.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """List sagas: how old, how they stand, where they are, who they wait for, what is due next.

    Example: saga list --waiting-for payments --older-than 10s
    """
    run(
        _list(
            bootstrap_servers,
            Selection(frozenset(status or ()), flow, key, waiting_for),
            older_than,
            at_risk,
            sort,
            limit or sys.maxsize,
            as_json,
        )
    )


async def _list(
    bootstrap_servers: str | None,
    selection: Selection,
    older_than: str | None,
    at_risk: bool,
    sort: Sort,
    limit: int,
    as_json: bool,
) -> int:
    if older_than is not None:
        selection = selection.older_than(duration_ms(older_than))
    sagas = await read_sagas(await connected(bootstrap_servers))
    now_ms = time.time_ns() // 1_000_000
    rows, total = (
        sagas.at_risk(selection, limit, now_ms) if at_risk else sagas.listed(selection, sort, limit, now_ms)
    )

    def foresight(row: Row) -> Forecast | None:
        return sagas.forecast(row, now_ms)

    if as_json:
        told = [row_json(row, now_ms, foresight(row)) for row in rows]
        print(msgspec_json.format(msgspec_json.encode(told)).decode())
    elif rows:
        length = sagas.short_id_length(rows)
        output().print(rows_table(rows, now_ms, length, foresight=foresight if at_risk else None))
    else:
        note("no saga is like that" if len(sagas.rows()) else "there is no saga yet")
    if len(rows) < total:
        note(f"{len(rows):,} of {total:,} sagas: --limit 0 shows all")
    tell_unreadable(sagas)
    return 0


async def read_sagas(settings: KafkaSettings) -> Sagas:
    """Every saga as it is now."""
    async with open_changelog(settings) as changelog:
        sagas = Sagas(await read_known(settings))
        async for changes in changelog.to_end():
            sagas.put(changes)
    return sagas


def tell_unreadable(sagas: Sagas) -> None:
    """Say how many records could not be read, if there are any."""
    if sagas.unreadable:
        plural = "s" if sagas.unreadable > 1 else ""
        note(f"{sagas.unreadable} record{plural} could not be read")
