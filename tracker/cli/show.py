"""`saga show`: everything that is known of one saga."""

import time
from typing import Annotated

import typer
from msgspec import json as msgspec_json

from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import note, output
from tracker.cli.list import read_sagas, tell_unreadable
from tracker.cli.rows import ELLIPSIS, rows_table
from tracker.cli.saga_json import saga_json
from tracker.cli.tree import saga_tree
from tracker.core.errors import UnreadableSaga
from tracker.core.saga import decode_saga
from tracker.view.changelog import read_saga, read_subscriptions
from tracker.view.sagas import Sagas

_MATCHES_SHOWN = 10
_NEAREST_SHOWN = 3


def show(
    saga: Annotated[str, typer.Argument(help="Id of a saga, its beginning or end, or a business key.")],
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object instead of a tree.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Show one saga: what caused what, who handled it, who has not answered yet.

    Example: saga show 5de2a3b4, or by its business key: saga show o-1042
    """
    run(_show(bootstrap_servers, saga.removeprefix(ELLIPSIS), as_json))


async def _show(bootstrap_servers: str | None, text: str, as_json: bool) -> int:
    settings = await connected(bootstrap_servers)
    value = await read_saga(settings, text)
    if value is None:
        sagas = await read_sagas(settings)
        matches = sagas.matching(text)
        if len(matches) != 1:
            return _tell_others(sagas, text)
        value = await read_saga(settings, matches[0].id)
    if value is None:
        raise UnreadableSaga(f"saga {text} was removed in this moment")
    return await _print(settings, value, as_json)


async def _print(settings: KafkaSettings, value: bytes, as_json: bool) -> int:
    found = decode_saga(value)
    subscriptions = await read_subscriptions(settings)
    now_ms = time.time_ns() // 1_000_000
    if as_json:
        encoded = msgspec_json.encode(saga_json(found, subscriptions, now_ms))
        print(msgspec_json.format(encoded).decode())
    else:
        output().print(saga_tree(found, subscriptions, now_ms))
    return 0


def _tell_others(sagas: Sagas, text: str) -> int:
    """Nothing to show, or too much: say which sagas could have been meant."""
    matches = sagas.matching(text)
    if matches:
        note(f"{len(matches):,} sagas match {text}; give more of the id:")
    else:
        note(f"saga: no saga has the id or the business key {text}")
    rows = matches[:_MATCHES_SHOWN] or sagas.nearest(text, _NEAREST_SHOWN)
    if rows:
        if not matches:
            note("the nearest:")
        output().print(rows_table(rows, time.time_ns() // 1_000_000, sagas.short_id_length(rows)))
    tell_unreadable(sagas)
    return 1
