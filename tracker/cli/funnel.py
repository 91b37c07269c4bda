"""`saga funnel`: how many sagas of a flow have come how far, and how many stand where now."""

from collections.abc import Sequence
from typing import Annotated

import typer
from msgspec import json as msgspec_json
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from tracker.cli.connection import BootstrapServers, Url, connected, run
from tracker.cli.console import STAND_STYLES, STATUS_STYLES, output
from tracker.cli.freshness import Fresh, flow_head, fresh, tell_unreadable
from tracker.cli.map import FlowName
from tracker.core.status import Status
from tracker.view.contract import read_contract
from tracker.view.documents.flow import FunnelDocument, StageDocument, funnel_document
from tracker.view.duration import human

_BAR_LENGTH_MAX = 24


def funnel(
    flow: FlowName,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a table.")] = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Show how far the sagas of a flow have come: passed each stage, standing there now, ended there.

    A saga stands at the newest event on its way; stuck and overdue ones are among those that stand there
    or are being undone.

    Example: saga funnel order
    """
    run(_funnel(bootstrap_servers, url, flow, as_json))


async def _funnel(bootstrap_servers: str | None, url: str | None, flow: str, as_json: bool) -> int:
    if url:
        from tracker.cli.remote_flows import flow_funnel  # aiohttp takes its time to import

        told, age = await flow_funnel(url, flow)
    else:
        told, age = await _read(bootstrap_servers, flow)
    if as_json:
        print(msgspec_json.format(msgspec_json.encode(told)).decode())
    else:
        output().print(flow_head(told, age))
        output().print(funnel_table(told.stages))
    tell_unreadable(told.unreadable)
    return 0


async def _read(bootstrap_servers: str | None, flow: str) -> tuple[FunnelDocument, Fresh]:
    contract = await read_contract(await connected(bootstrap_servers), flow)
    now_ms = contract.as_of_ms
    return funnel_document(contract, contract.stuck(now_ms), contract.overdue(now_ms)), fresh(contract)


def funnel_table(stages: Sequence[StageDocument]) -> Table:
    """A line for each stage; columns of what no saga is are left out."""
    columns: list[tuple[str, str, list[int]]] = [
        ("NOW", STATUS_STYLES[Status.OPEN], [stage.standing for stage in stages]),
        ("COMPENSATING", STATUS_STYLES[Status.COMPENSATING], [stage.compensating for stage in stages]),
        ("STUCK", STATUS_STYLES[Status.STUCK], [stage.stuck for stage in stages]),
        ("OVERDUE", STAND_STYLES["overdue"], [stage.overdue for stage in stages]),
        ("ENDED", "", [stage.ended for stage in stages]),
    ]
    shown = [column for column in columns if column[0] == "NOW" or any(column[2])]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    table.add_column("STAGE", no_wrap=True, overflow="ellipsis")
    for heading in ("PASSED", "SHARE"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", max_width=_BAR_LENGTH_MAX)  # gives way where the terminal is narrow
    table.add_column("AFTER", justify="right", no_wrap=True)
    for heading, _, _ in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for index, stage in enumerate(stages):
        counts = [Text(f"{at[index]:,}" if at[index] else "-", style=style) for _, style, at in shown]
        name = stage.type or "(not read)"
        table.add_row(
            name if stage.declared else f"{name} (undeclared)",
            f"{stage.passed:,}",
            f"{stage.share:.1%}",
            Bar(1, 0, stage.share),
            human(stage.after_ms) if stage.passed else "",
            *counts,
        )
    return table
