"""`saga show`: everything that is known of one saga."""

import asyncio
import time
from typing import Annotated

import typer
from msgspec import json as msgspec_json

from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import output
from tracker.cli.find import find_saga
from tracker.cli.saga_json import saga_json
from tracker.cli.tree import saga_tree
from tracker.core.saga import decode_saga
from tracker.view.kin import read_relatives
from tracker.view.known import read_known
from tracker.view.past import forecast_by

SagaName = Annotated[
    str, typer.Argument(metavar="ID", help="Id of a saga, its beginning or end, or a business key.")
]


def show(
    saga: SagaName,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a tree.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Show one saga: what caused what, who handled it, who has not answered yet.

    With a flow also its deadlines, when it is expected to end, what is undone, and what operators did.
    The saga that began it and those that it began are named as well.

    Example: saga show 5de2a3b4, or by its business key: saga show o-1042
    """
    run(_show(bootstrap_servers, saga, as_json))


async def _show(bootstrap_servers: str | None, text: str, as_json: bool) -> int:
    settings = await connected(bootstrap_servers)
    found = await find_saga(settings, text)
    if found is None:
        return 1
    value, others = found
    saga = decode_saga(value)
    known, relatives = await asyncio.gather(read_known(settings), read_relatives(settings, saga))
    now_ms = time.time_ns() // 1_000_000
    forecast = forecast_by(saga, others, known, now_ms)
    if as_json:
        encoded = msgspec_json.encode(saga_json(saga, known, now_ms, forecast, relatives))
        print(msgspec_json.format(encoded).decode())
    else:
        output().print(saga_tree(saga, known, now_ms, forecast, relatives))
    return 0
