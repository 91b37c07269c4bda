"""`saga watch`: what is in flight, how it goes on, and what has been waiting longest."""

import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Annotated

import typer
from msgspec import json
from rich.console import Group, RenderableType
from rich.live import Live as LiveScreen
from rich.text import Text

from tracker.cli.connection import BootstrapServers, Url, connected, run
from tracker.cli.console import output
from tracker.cli.flows import flows_head, has_second_line
from tracker.cli.freshness import as_of_text
from tracker.cli.rows import rows_table
from tracker.view.documents.watch import WatchDocument, watch_document
from tracker.view.duration import human
from tracker.view.flows import FlowSummary
from tracker.view.live import live
from tracker.view.sagas import short_id_length

_ROWS_PLAIN = 20
_SILENCE_MS = 10_000
"""Nothing new for so long is worth a word: the tracker, or the business, may stand still."""


def watch(
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two pictures.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object a line for each picture, until Ctrl-C.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Watch sagas live: by flow and stage, how late, and those in flight that are oldest. Ctrl-C ends it.

    Without a terminal it prints one picture and ends, as with --once.

    Example: saga watch --interval 0.5
    """
    if as_json:
        run(_lines(bootstrap_servers, url, interval, once))
    elif once or not sys.stdout.isatty():
        run(_picture(bootstrap_servers, url, interval))
    else:
        run(_screen(bootstrap_servers, url, interval))


async def _screen(bootstrap_servers: str | None, url: str | None, interval: float) -> int:
    console = output()
    pictures = _pictures(bootstrap_servers, url, interval, lambda: console.height)
    with LiveScreen(console=console, screen=True, auto_refresh=False) as screen:
        async with contextlib.aclosing(pictures):
            async for told, id_length in pictures:
                screen.update(picture(told, id_length, console.height), refresh=True)
    return 0


async def _picture(bootstrap_servers: str | None, url: str | None, interval: float) -> int:
    async with contextlib.aclosing(_pictures(bootstrap_servers, url, interval)) as pictures:
        told, id_length = await anext(pictures)
        output().print(picture(told, id_length, None))
    return 0


async def _lines(bootstrap_servers: str | None, url: str | None, interval: float, once: bool) -> int:
    async with contextlib.aclosing(_pictures(bootstrap_servers, url, interval)) as pictures:
        async for told, _ in pictures:
            print(json.encode(told).decode(), flush=True)
            if once:
                break
    return 0


async def _pictures(
    bootstrap_servers: str | None,
    url: str | None,
    interval: float,
    oldest: Callable[[], int] = lambda: _ROWS_PLAIN,
) -> AsyncGenerator[tuple[WatchDocument, int], None]:
    """What is in flight, again and again, and how many characters of its ids tell the oldest from others."""
    if url:
        from tracker.cli.remote_flows import watch_flows  # aiohttp takes its time to import

        async with contextlib.aclosing(watch_flows(url, interval, oldest)) as remote:
            async for told in remote:
                ids = [saga.id for saga in told.oldest]
                yield told, short_id_length(ids, ids)
        return
    settings = await connected(bootstrap_servers)
    async with contextlib.aclosing(live(settings, interval)) as pictures:
        async for now in pictures:
            told = watch_document(now, time.time_ns() // 1_000_000, oldest())
            yield told, now.sagas.short_id_length(told.oldest)


def picture(told: WatchDocument, id_length: int, height: int | None) -> RenderableType:
    """Flows on top, below them the oldest sagas in flight, as many as `height` lines can hold."""
    flows = told.flows
    head = [Text(_freshness(told)), *([flows_head(flows)] if flows else []), Text()]
    room = _ROWS_PLAIN if height is None else max(1, height - _lines_of(flows) - 5)
    oldest = told.oldest[:room]
    if not oldest:
        return Group(*head, Text("nothing is in flight" if flows else "there is no saga yet"))
    table = rows_table(oldest, id_length, with_flow=len(flows) > 1)
    left = told.in_flight - len(oldest)
    return Group(*head, table, *([Text(f"and {left:,} younger ones")] if left > 0 else []))


def _freshness(told: WatchDocument) -> str:
    text = as_of_text(told.as_of_ms_ago)
    if told.silent_ms is not None and told.silent_ms > _SILENCE_MS:
        text += f" · nothing new for {human(told.silent_ms)}"
    if told.unreadable:
        text += f" · {told.unreadable:,} could not be read"
    return text


def _lines_of(flows: Iterable[FlowSummary]) -> int:
    return sum(2 if has_second_line(flow) else 1 for flow in flows)
