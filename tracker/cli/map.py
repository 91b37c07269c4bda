"""`saga map`: which events follow from which in a flow, as declared and as seen."""

from enum import StrEnum
from typing import Annotated

import typer
from msgspec import json as msgspec_json

from tracker.cli.connection import BootstrapServers, Url, connected, run
from tracker.cli.console import note, output
from tracker.cli.freshness import flow_head, fresh, tell_unreadable
from tracker.cli.map_tree import differences_text, map_tree
from tracker.cli.mermaid import mermaid
from tracker.view.contract import read_contract
from tracker.view.documents.flow import map_document

FlowName = Annotated[
    str, typer.Argument(metavar="FLOW", help="A flow, or the type of the event that sagas begin with.")
]


class MapFormat(StrEnum):
    """How a map is printed."""

    TEXT = "text"
    MERMAID = "mermaid"
    JSON = "json"


def map_(
    flow: FlowName,
    as_mermaid: Annotated[
        bool, typer.Option("--mermaid", help="A Mermaid flowchart, for Markdown and web pages.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a tree.")] = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Draw a flow: what services and its file declare, with how often and how fast it really happened.

    What was declared and never seen, and what was seen and nobody declares, is marked.

    Example: saga map order --mermaid
    """
    if as_mermaid and as_json:
        raise typer.BadParameter("either --mermaid or --json")
    format_ = MapFormat.MERMAID if as_mermaid else MapFormat.JSON if as_json else MapFormat.TEXT
    run(_map(bootstrap_servers, url, flow, format_))


async def _map(bootstrap_servers: str | None, url: str | None, flow: str, format_: MapFormat) -> int:
    if url:
        from tracker.cli.remote_flows import flow_map  # aiohttp takes its time to import

        told, age = await flow_map(url, flow)
    else:
        contract = await read_contract(await connected(bootstrap_servers), flow)
        told, age = map_document(contract), fresh(contract)
    match format_:
        case MapFormat.JSON:
            print(msgspec_json.format(msgspec_json.encode(told)).decode())
        case MapFormat.MERMAID:
            print(mermaid(told))
        case MapFormat.TEXT:
            output().print(flow_head(told, age))
            output().print(map_tree(told))
            for line in differences_text(told):
                output().print(line)
    if told.not_told_apart:
        note(
            f"{told.not_told_apart:,} events, edges and runs are not told apart: "
            "there are too many kinds of them"
        )
    tell_unreadable(told.unreadable)
    return 0
