"""`saga show`: everything that is known of one saga."""

import asyncio
import time
from typing import Annotated

import typer
from msgspec import json as msgspec_json

from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers, Url, connected, run
from tracker.cli.console import output
from tracker.cli.find import find_saga
from tracker.cli.tree import saga_tree
from tracker.core.saga import decode_saga
from tracker.view.documents.saga import SagaDocument, saga_document
from tracker.view.flows import group_of
from tracker.view.kin import read_relatives
from tracker.view.known import read_known
from tracker.view.outlook import outlook_of
from tracker.view.past import forecast_by, past_of
from tracker.view.row import row_of

SagaName = Annotated[
    str, typer.Argument(metavar="ID", help="Id of a saga, its beginning or end, or a business key.")
]


def show(
    saga: SagaName,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a tree.")] = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Show one saga: what caused what, who handled it, who has not answered yet.

    Also what is wrong with it, and what is still to come. With a flow its deadlines, when it is expected
    to end, what is undone, and what operators did. Parent and child sagas are named as well.

    Example: saga show 5de2a3b4, or by its business key: saga show o-1042
    """
    run(_show(bootstrap_servers, url, saga, as_json))


async def _show(bootstrap_servers: str | None, url: str | None, text: str, as_json: bool) -> int:
    if url:
        from tracker.cli.remote_sagas import show_saga  # aiohttp takes its time to import

        told = await show_saga(url, text)
    else:
        told = await _read(await connected(bootstrap_servers), text)
    if told is None:
        return 1
    if as_json:
        print(msgspec_json.format(msgspec_json.encode(told)).decode())
    else:
        output().print(saga_tree(told))
    return 0


async def _read(settings: KafkaSettings, text: str) -> SagaDocument | None:
    found = await find_saga(settings, text)
    if found is None:
        return None
    value, others = found
    saga = decode_saga(value)
    known, relatives = await asyncio.gather(read_known(settings), read_relatives(settings, saga))
    now_ms = time.time_ns() // 1_000_000
    row = row_of(saga, known)
    past = past_of(others, known, group_of(row))
    forecast = forecast_by(row, past, now_ms)
    outlook = outlook_of(saga, row, past, known, now_ms)
    return saga_document(saga, known, now_ms, forecast, relatives, outlook)
