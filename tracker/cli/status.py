"""`saga status`: whether the tracker keeps up, and if not, who holds it up."""

import asyncio
import contextlib
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Annotated

import typer
from msgspec import json as msgspec_json
from rich import box
from rich.console import Group, RenderableType
from rich.live import Live as LiveScreen
from rich.table import Table
from rich.text import Text

from saga.core.duration import duration_ms
from saga.core.errors import SagaError
from saga.runtime.access import REFUSALS, refused_by
from saga.runtime.kafka import KafkaError
from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers, Url, connected, quiet
from tracker.cli.console import output
from tracker.core.frame import STEPS_TOPIC
from tracker.core.lag import SourceLag, worst
from tracker.health import read_health
from tracker.runtime.lag import Lags
from tracker.view.documents.freshness import FreshnessDocument
from tracker.view.documents.health import GroupDocument, HealthDocument, SourceDocument, health_document
from tracker.view.duration import human

WELL, BEHIND, UNREACHABLE = 0, 1, 2

_HELD_MAX = 10


def status(
    behind: Annotated[
        str, typer.Option(help="What waits longer, or holds up time for longer, is not well: 10s, 5m.")
    ] = "60s",
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every second, or every --interval, until Ctrl-C.")
    ] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object, with --watch one a line.")] = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Show whether the tracker keeps up: members, what waits, how far time has come, who holds it up.

    Asks Kafka, not the tracker; with --url the server does. Exit code 0 if all is well, 1 if it is behind or
    not at work, 2 if neither can be asked.

    Example: saga status --behind 10s
    """
    quiet()
    try:
        behind_ms = duration_ms(behind)
        code = asyncio.run(_status(bootstrap_servers, url, behind_ms, interval if watch else None, as_json))
    except KeyboardInterrupt:
        code = WELL
    except (SagaError, KafkaError, OSError) as error:
        told = refused_by(KafkaSettings(), error) if isinstance(error, REFUSALS) else error
        print(f"saga: {told or 'no answer from Kafka'}", file=sys.stderr)
        code = UNREACHABLE
    raise typer.Exit(code)


async def _status(
    bootstrap_servers: str | None, url: str | None, behind_ms: int, every: float | None, as_json: bool
) -> int:
    looks = _looks(bootstrap_servers, url, behind_ms, every)
    async with contextlib.aclosing(looks):
        if every is None or as_json or not sys.stdout.isatty():
            code = WELL
            async for health in looks:
                if as_json:
                    told = msgspec_json.encode(health)
                    print(told.decode() if every else msgspec_json.format(told).decode(), flush=True)
                else:
                    output().print(picture(health))
                code = WELL if health.well else BEHIND
            return code
        with LiveScreen(console=output(), screen=True, auto_refresh=False) as screen:
            async for health in looks:
                screen.update(picture(health), refresh=True)
    return WELL


async def _looks(
    bootstrap_servers: str | None, url: str | None, behind_ms: int, every: float | None
) -> AsyncGenerator[HealthDocument, None]:
    """The health now; again and again with `every` so many seconds."""
    if url:
        from tracker.cli.remote import remote  # aiohttp takes its time to import

        async with remote(url) as server:
            yield await server.get("status", HealthDocument, {"behind_ms": behind_ms})
            while every is not None:
                await asyncio.sleep(every)
                yield await server.get("status", HealthDocument, {"behind_ms": behind_ms})
        return
    settings = await connected(bootstrap_servers)
    async with Lags(settings) as lags:
        yield health_document(await read_health(settings, lags), behind_ms)
        while every is not None:
            await asyncio.sleep(every)
            yield health_document(await read_health(settings, lags), behind_ms)


def picture(health: HealthDocument) -> RenderableType:
    """The health for people: what is wrong first."""
    head = [Text(line, style="red") for line in health.problems] or [
        Text("the tracker keeps up", style="green")
    ]
    return Group(*head, Text(), _groups(health.groups), Text(), _topics(health), Text(), *_facts(health))


def _groups(groups: list[GroupDocument]) -> Table:
    table = _table("GROUP", "STATE", "MEMBERS", ">WAITING", ">OLDEST", "AT")
    for group in groups:
        lag = SourceLag(group.lag_records, group.lag_seconds)
        where = ", ".join(sorted(set(group.members)))
        table.add_row(group.group, group.state.lower(), str(len(group.members)), *_lag(lag), where)
    return table


def _topics(health: HealthDocument) -> Table:
    by_topic: dict[str, list[SourceDocument]] = defaultdict(list)
    for source in health.sources:
        by_topic[source.topic].append(source)
    table = _table("TOPIC", ">PARTITIONS", ">WAITING", ">OLDEST", ">READ UP TO", "HELD UP BY")
    for topic, sources in by_topic.items():
        held = [source for source in sources if source.held_up_by]
        told = [source.watermark_ms_ago for source in sources if source.watermark_ms_ago is not None]
        up_to = f"{human(max(told))} ago" if told else "unknown"
        lags = (SourceLag(source.lag_records, source.lag_seconds) for source in sources)
        table.add_row(topic, str(len(sources)), *_lag(worst(lags)), up_to, _held(held))
    steps = [SourceLag(step.lag_records, step.lag_seconds) for step in health.steps]
    table.add_row(STEPS_TOPIC, str(len(steps)), *_lag(worst(steps)), "", "")
    return table


def _held(sources: list[SourceDocument]) -> str:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        by_reason[source.held_up_by or ""].append(str(source.partition))
    return "; ".join(
        f"{reason} in {', '.join(numbers[:_HELD_MAX])}{' …' if len(numbers) > _HELD_MAX else ''}"
        for reason, numbers in by_reason.items()
    )


def _facts(health: HealthDocument) -> list[Text]:
    if health.time_behind_ms is None:
        facts = ["time    not known yet: no collector has told how far it has read"]
    else:
        behind = human(health.time_behind_ms)
        facts = [f"time    {behind} behind the clock; deadlines are judged by it"]
    if health.table_written_ms_ago is None:
        facts.append("table   never written")
    else:
        facts.append(f"table   written {human(health.table_written_ms_ago)} ago")
    if health.read_model is not None:
        facts.append(f"model   {_model(health.read_model)}")
    letters = [f"{count:,} on {topic}" for topic, count in health.dead_letters.items() if count]
    facts.append(f"dead    {', '.join(letters) or 'no dead letters'}")
    return [Text(fact) for fact in facts]


def _model(model: FreshnessDocument) -> str:
    if model.as_of is None:
        return "nothing has been read yet"
    waiting = f", {model.lag_records:,} records wait for the projector" if model.lag_records else ""
    return f"as of {human(model.age_ms)} ago{waiting}"


def _lag(lag: SourceLag) -> tuple[str, str]:
    return f"{lag.records:,}", human(lag.seconds * 1000) if lag.records else ""


def _table(*headings: str) -> Table:
    """Headings that begin with > are of numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
    for heading in headings:
        table.add_column(heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left")
    return table
