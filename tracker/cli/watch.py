"""`saga watch`: what is in flight, how it goes on, and what has been waiting longest."""

import contextlib
import sys
import time
from collections.abc import Iterable
from typing import Annotated

import typer
from msgspec import json
from rich.console import Group, RenderableType
from rich.live import Live as LiveScreen
from rich.text import Text

from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import output
from tracker.cli.duration import human
from tracker.cli.flows import flow_json, flows_head, has_second_line
from tracker.cli.rows import row_json, rows_table
from tracker.core.status import ENDED, Status
from tracker.view.flows import FlowSummary
from tracker.view.live import Live, live
from tracker.view.selection import Selection, Sort

_IN_FLIGHT = Selection(statuses=frozenset(Status) - ENDED)
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
) -> None:
    """Watch sagas live: by flow and stage, how late, and those in flight that are oldest. Ctrl-C ends it.

    Without a terminal it prints one picture and ends, as with --once.

    Example: saga watch --interval 0.5
    """
    if as_json:
        run(_lines(bootstrap_servers, interval, once))
    elif once or not sys.stdout.isatty():
        run(_picture(bootstrap_servers, interval))
    else:
        run(_screen(bootstrap_servers, interval))


async def _screen(bootstrap_servers: str | None, interval: float) -> int:
    settings = await connected(bootstrap_servers)
    console = output()
    with LiveScreen(console=console, screen=True, auto_refresh=False) as screen:
        async with contextlib.aclosing(live(settings, interval)) as pictures:
            async for now in pictures:
                screen.update(picture(now, _now_ms(), console.height), refresh=True)
    return 0


async def _picture(bootstrap_servers: str | None, interval: float) -> int:
    settings = await connected(bootstrap_servers)
    async with contextlib.aclosing(live(settings, interval)) as pictures:
        output().print(picture(await anext(pictures), _now_ms(), None))
    return 0


async def _lines(bootstrap_servers: str | None, interval: float, once: bool) -> int:
    settings = await connected(bootstrap_servers)
    async with contextlib.aclosing(live(settings, interval)) as pictures:
        async for now in pictures:
            print(json.encode(picture_json(now, _now_ms())).decode(), flush=True)
            if once:
                break
    return 0


def picture(now: Live, now_ms: int, height: int | None) -> RenderableType:
    """Flows on top, below them the oldest sagas in flight, as many as `height` lines can hold."""
    flows = now.sagas.flows(now_ms)
    head = [Text(_freshness(now, now_ms)), *([flows_head(flows)] if flows else []), Text()]
    room = _ROWS_PLAIN if height is None else max(1, height - _lines_of(flows) - 5)
    rows, total = now.sagas.listed(_IN_FLIGHT, Sort.AGE, room, now_ms)
    if not rows:
        return Group(*head, Text("nothing is in flight" if flows else "there is no saga yet"))
    length = now.sagas.short_id_length(rows)
    table = rows_table(rows, now_ms, length, with_flow=len(flows) > 1)
    more = [Text(f"and {total - len(rows):,} younger ones")] if total > len(rows) else []
    return Group(*head, table, *more)


def picture_json(now: Live, now_ms: int) -> dict[str, object]:
    """The picture for programs."""
    rows, total = now.sagas.listed(_IN_FLIGHT, Sort.AGE, _ROWS_PLAIN, now_ms)
    return {
        "as_of_ms_ago": now_ms - now.as_of_ms,
        "flows": [flow_json(flow) for flow in now.sagas.flows(now_ms)],
        "in_flight": total,
        "oldest": [row_json(row, now_ms, now.sagas.forecast(row, now_ms)) for row in rows],
        "unreadable": now.sagas.unreadable,
    }


def _freshness(now: Live, now_ms: int) -> str:
    text = f"as of {human(max(0, now_ms - now.as_of_ms))} ago"
    if now.changed_ms and now_ms - now.changed_ms > _SILENCE_MS:
        text += f" · nothing new for {human(now_ms - now.changed_ms)}"
    if now.sagas.unreadable:
        text += f" · {now.sagas.unreadable:,} could not be read"
    return text


def _lines_of(flows: Iterable[FlowSummary]) -> int:
    return sum(2 if has_second_line(flow) else 1 for flow in flows)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
