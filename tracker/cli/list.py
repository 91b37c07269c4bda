"""`saga list`: which sagas there are, and who they wait for."""

import sys
import time
from typing import Annotated, NamedTuple

import typer
from msgspec import json as msgspec_json

from saga.core.duration import duration_ms
from saga.core.errors import SagaError
from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers, Url, connected, run
from tracker.cli.console import note, output
from tracker.cli.freshness import tell_unreadable
from tracker.cli.rows import rows_table
from tracker.core.contract.findings import Kind
from tracker.core.status import Status
from tracker.view.changelog import open_changelog
from tracker.view.documents.row import SagaSummary
from tracker.view.known import read_known
from tracker.view.sagas import Sagas
from tracker.view.selection import Selection, Sort


class NotInKafka(SagaError):
    """Without a server that can't be found. The message says what to do."""


def list_(
    status: Annotated[list[Status] | None, typer.Option(help="Only these; may be given repeatedly.")] = None,
    flow: Annotated[
        str | None, typer.Option(help="Only sagas of this flow, or that begin with this event.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only sagas with this business key.")] = None,
    waiting_for: Annotated[
        str | None, typer.Option(help="Only those that this service has to answer.")
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            help="Only those that went this variant and ended, by its id in saga variants; with --url."
        ),
    ] = None,
    edge: Annotated[
        str | None,
        typer.Option(
            metavar="CAUSE,SERVICE,EFFECT",
            help="Only those where this service published this event because of that one; with --url.",
        ),
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
    finding: Annotated[
        list[Kind] | None,
        typer.Option(help="Only sagas with something wrong of this kind; may be given repeatedly."),
    ] = None,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Only those that wait much longer than others did.")
    ] = False,
    sort: Annotated[Sort, typer.Option(help="status: what needs a look first; last: newest event first.")] = (
        Sort.STATUS
    ),
    limit: Annotated[int, typer.Option(min=0, help="Show so many at most; 0 shows all.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array instead of a table.")] = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """List sagas: how old, how they stand, where they are, who they wait for, what is due next.

    Example: saga list --waiting-for payments --older-than 10s
    """
    run(
        _list(
            bootstrap_servers,
            url,
            Selection(
                frozenset(status or ()),
                flow,
                key,
                waiting_for,
                findings=frozenset(finding or ()) | ({Kind.STUCK} if stuck else set()),
                variant=variant,
                edge=edge,
            ),
            older_than,
            at_risk,
            sort,
            limit or sys.maxsize,
            as_json,
        )
    )


class Listed(NamedTuple):
    """What is listed.

    Attributes
    ----------
    id_length : so many characters at the end of their ids tell them from others.
    total : how many there are in all; None if that is not known, and there are more.
    any : whether there is any saga at all.
    """

    sagas: list[SagaSummary]
    id_length: int
    total: int | None
    any: bool
    unreadable: int


async def _list(
    bootstrap_servers: str | None,
    url: str | None,
    selection: Selection,
    older_than: str | None,
    at_risk: bool,
    sort: Sort,
    limit: int,
    as_json: bool,
) -> int:
    if older_than is not None:
        selection = selection.older_than(duration_ms(older_than))
    if url:
        from tracker.cli.remote_sagas import list_sagas  # aiohttp takes its time to import

        found = await list_sagas(url, selection, sort, limit, at_risk)
    else:
        if selection.variant or selection.edge:
            raise NotInKafka(
                "--variant and --edge are asked of a server, which has counted them: give --url, or SAGA_URL"
            )
        found = await _read(bootstrap_servers, selection, sort, limit, at_risk)
    if as_json:
        print(msgspec_json.format(msgspec_json.encode(found.sagas)).decode())
    elif found.sagas:
        output().print(rows_table(found.sagas, found.id_length, with_forecast=at_risk))
    else:
        note("no saga is like that" if found.any else "there is no saga yet")
    shown = len(found.sagas)
    if found.total is None:
        note(f"{shown:,} sagas are listed, and there are more: --limit 0 shows all")
    elif shown < found.total:
        note(f"{shown:,} of {found.total:,} sagas: --limit 0 shows all")
    tell_unreadable(found.unreadable)
    return 0


async def _read(
    bootstrap_servers: str | None, selection: Selection, sort: Sort, limit: int, at_risk: bool
) -> Listed:
    sagas = await read_sagas(await connected(bootstrap_servers))
    now_ms = time.time_ns() // 1_000_000
    rows, total = (
        sagas.at_risk(selection, limit, now_ms) if at_risk else sagas.listed(selection, sort, limit, now_ms)
    )
    return Listed(
        [sagas.summary(row, now_ms) for row in rows],
        sagas.short_id_length(rows),
        total,
        bool(sagas.rows()),
        sagas.unreadable,
    )


async def read_sagas(settings: KafkaSettings) -> Sagas:
    """Every saga as it is now."""
    async with open_changelog(settings) as changelog:
        sagas = Sagas(await read_known(settings))
        async for changes in changelog.to_end():
            sagas.put(changes)
    return sagas
