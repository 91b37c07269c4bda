"""`saga variants`: which ways the sagas of a flow went."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer
from msgspec import json as msgspec_json
from rich.table import Table

from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import note, output
from tracker.cli.duration import human
from tracker.core.discovery import Variant, Variants, trace
from tracker.core.errors import UnreadableSaga
from tracker.core.saga import decode_saga
from tracker.core.status import ENDED
from tracker.view.changelog import open_changelog
from tracker.view.known import read_known
from tracker.view.row import row_of


def variants(
    flow: Annotated[
        str, typer.Argument(metavar="FLOW", help="A flow, or the type of the event that sagas begin with.")
    ],
    limit: Annotated[int, typer.Option(min=0, help="Show so many at most; 0 shows all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a table.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """List the ways that sagas of a flow went: how many, their share, how long in the middle, which events.

    Only sagas that have ended count. Repeats of an event that follow each other are shown once.

    Example: saga variants order --limit 5
    """
    run(_variants(bootstrap_servers, flow, limit, as_json))


async def _variants(bootstrap_servers: str | None, flow: str, limit: int, as_json: bool) -> int:
    settings = await connected(bootstrap_servers)
    known = await read_known(settings)
    newest: dict[str, bytes] = {}
    async with open_changelog(settings) as changelog:
        async for changes in changelog.to_end():
            for change in changes:
                if change.value is None:
                    newest.pop(change.saga, None)
                else:
                    newest[change.saga] = change.value
    found, unreadable = Variants(), 0
    for value in newest.values():
        try:
            saga = decode_saga(value)
        except UnreadableSaga:
            unreadable += 1
            continue
        row = row_of(saga, known)
        if flow in (row.flow, row.begins) and row.status in ENDED:
            found.add(trace(saga))
    listed = list(found.listed())
    shown = list(islice(listed, limit or None))
    if as_json:
        told = {"flow": flow, "sagas": found.sagas, "variants": [variant._asdict() for variant in shown]}
        print(msgspec_json.format(msgspec_json.encode(told)).decode())
    elif shown:
        output().print(variants_table(shown))
    else:
        note(f"no saga of {flow} has ended: saga list shows those that there are")
    if len(shown) < len(listed):
        note(f"{len(shown):,} of {len(listed):,} variants: --limit 0 shows all")
    if unreadable:
        note(f"{unreadable} record{'s' if unreadable > 1 else ''} could not be read")
    return 0


def variants_table(variants: Sequence[Variant]) -> Table:
    """One line each; long ways go on below."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for heading in ("SAGAS", "SHARE", "MEDIAN"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("EVENTS")
    for variant in variants:
        table.add_row(
            f"{variant.sagas:,}", f"{variant.share:.1%}", human(variant.p50_ms), " → ".join(variant.types)
        )
    return table
