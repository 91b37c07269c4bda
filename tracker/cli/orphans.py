"""`saga orphans`: records that belong to no saga, and why."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from msgspec import json as msgspec_json
from rich.table import Table
from rich.text import Text

from tracker.cli.connection import BootstrapServers, Url, connected, run
from tracker.cli.console import note, output
from tracker.cli.moment import date_and_time
from tracker.view.documents.orphans import OrphanDocument, OrphansDocument, orphans_document
from tracker.view.orphans import REASONS, read_orphans


def orphans(
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC]...", help="Only these. Without any all that a tracker finds itself."),
    ] = None,
    last: Annotated[
        int, typer.Option(min=0, help="Look at so many records of each partition; 0: at all.")
    ] = 10_000,
    limit: Annotated[int, typer.Option(min=0, help="Show so many at most; 0 shows all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a table.")] = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """List records that belong to no saga: where they lie, and why they could not be correlated.

    They are read from the topics themselves and judged by the correlation rules of today. Events of a
    saga whose cause is unknown are found with saga list --finding orphan. With --url the server looks: at its
    own topics, and at 10,000 records of each partition at most.

    Example: saga orphans orders --last 100000
    """
    run(_orphans(bootstrap_servers, url, topics or [], last, limit or sys.maxsize, as_json))


async def _orphans(
    bootstrap_servers: str | None, url: str | None, topics: list[str], last: int, limit: int, as_json: bool
) -> int:
    if url:
        from tracker.cli.remote_sagas import list_orphans  # aiohttp takes its time to import

        found = await list_orphans(url, topics, last, limit)
    else:
        found = orphans_document(await read_orphans(await connected(bootstrap_servers), topics, last, limit))
    missing = sorted(set(topics).difference(found.topics))
    if as_json:
        print(msgspec_json.format(msgspec_json.encode(found)).decode())
    elif found.orphans:
        output().print(orphans_table(found.orphans))
        output().print(counts_text(found))
    else:
        note(f"all of {found.records:,} records belong to sagas")
    total = sum(count.records for count in found.counts)
    if len(found.orphans) < total:
        note(f"{len(found.orphans):,} of {total:,} are listed: --limit 0 lists all")
    if found.older:
        note(f"{found.older:,} older records were not looked at: --last 0 looks at all")
    for topic in missing:
        note(f"there is no topic {topic}")
    return 1 if missing else 0


def orphans_table(orphans: Sequence[OrphanDocument]) -> Table:
    """A line each, with the place in Kafka."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for heading in ("WRITTEN", "RECORD"):
        table.add_column(heading, no_wrap=True)
    table.add_column("KEY", overflow="ellipsis", no_wrap=True)
    table.add_column("WHY")
    for orphan in orphans:
        table.add_row(
            date_and_time(orphan.written),
            f"{orphan.topic}/{orphan.partition}@{orphan.offset}",
            Text(orphan.key),
            f"{orphan.reason}: {REASONS[orphan.reason]}",
        )
    return table


def counts_text(found: OrphansDocument) -> str:
    """How many of how many, by topic and reason."""
    total = sum(count.records for count in found.counts)
    parts = [f"{count.topic} {count.records:,} {count.reason}" for count in found.counts]
    return f"\n{total:,} of {found.records:,} records: {', '.join(parts)}"
