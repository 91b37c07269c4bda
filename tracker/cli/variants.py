"""`saga variants`: which ways the sagas of a flow went."""

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated

import typer
from msgspec import json as msgspec_json
from rich.table import Table

from tracker.cli.connection import BootstrapServers, Url, connected, run
from tracker.cli.console import note, output
from tracker.cli.freshness import tell_unreadable
from tracker.cli.map import FlowName
from tracker.view.contract import read_contract
from tracker.view.documents.flow import VariantDocument, variants_document
from tracker.view.duration import human


def variants(
    flow: FlowName,
    limit: Annotated[int, typer.Option(min=0, help="Show so many at most; 0 shows all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a table.")] = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """List the ways that sagas of a flow went: how many, their share, how long in the middle, which events.

    Only sagas that have ended count.

    Example: saga variants order --limit 5
    """
    run(_variants(bootstrap_servers, url, flow, limit, as_json))


async def _variants(
    bootstrap_servers: str | None, url: str | None, flow: str, limit: int, as_json: bool
) -> int:
    if url:
        from tracker.cli.remote_flows import flow_variants  # aiohttp takes its time to import

        told = await flow_variants(url, flow, limit)
    else:
        contract = await read_contract(await connected(bootstrap_servers), flow)
        told = variants_document(flow, contract.traffic.variants, limit or None, contract.unreadable)
    if as_json:
        print(msgspec_json.format(msgspec_json.encode(told)).decode())
    elif told.variants:
        output().print(variants_table(told.variants))
    else:
        note(f"no saga of {flow} has ended: saga list shows those that there are")
    if len(told.variants) < told.variants_in_all:
        note(f"{len(told.variants):,} of {told.variants_in_all:,} variants: --limit 0 shows all")
    if told.not_told_apart:
        note(
            f"{told.not_told_apart:,} sagas more went ways that are not told apart: "
            "there are too many of them"
        )
    tell_unreadable(told.unreadable)
    return 0


def variants_table(variants: Sequence[VariantDocument]) -> Table:
    """One line each; long ways go on below."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for heading in ("SAGAS", "SHARE", "MEDIAN"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("ID", no_wrap=True)
    table.add_column("EVENTS")
    for variant in variants:
        table.add_row(
            f"{variant.sagas:,}",
            f"{variant.share:.1%}",
            human(variant.p50_ms),
            variant.id,
            _way(variant.types),
        )
    return table


def _way(types: Sequence[str]) -> str:
    """`placed → packed x3 → sent`."""
    runs = ((name, len(list(run))) for name, run in groupby(types))
    return " → ".join(name if times == 1 else f"{name} x{times}" for name, times in runs)
