"""`saga check`: whether flow files and correlation rules are right, before a tracker follows them."""

import asyncio
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from msgspec import json as msgspec_json
from rich.text import Text

from saga.cli.run import load
from saga.core.errors import SagaError
from saga.core.receipt import ServiceAnnouncement
from saga.runtime.kafka import KafkaError
from tracker.cli.connection import connected, quiet
from tracker.cli.console import note, output
from tracker.core.correlation import Rules
from tracker.core.flow import Flows
from tracker.flow.check import check, check_against, check_together
from tracker.flow.files import flow_paths, read_flow_file
from tracker.flow.parse import FlowFile
from tracker.flow.problem import Problem
from tracker.view.changelog import read_announcements
from tracker.view.registry import read_registry

_USAGE = 2
_DEFAULT = Path("schemas/flows")
_MARK_STYLE = "red"


def check_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of flows or correlation rules, or folders of them; schemas/flows if none is named."
        ),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:SERVICE", help="Check against this service as declared; name all that take part."
        ),
    ] = None,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(
            help="Kafka brokers, host:port: check against the services that have announced themselves there, "
            "and the flows that are followed."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array of problems.")] = False,
) -> None:
    """Check files of flows and correlation rules: against each other, and against services.

    Prints file:line:column: message. Exit code 0: no problem; 1: problems; 2: nothing could be checked.

    Example: saga check schemas/flows --service services.orders.handlers:orders
    """
    files = _files(paths or [_DEFAULT])
    try:
        services = [load(target).announcement() for target in service or ()]
        announced, known, rules = asyncio.run(_cluster(bootstrap_servers))
    except (SagaError, KafkaError) as error:
        _stop(str(error))
    against = bool(service) or bootstrap_servers is not None
    problems = _problems(files, [*announced, *services] if against else None, known, rules)
    if as_json:
        print(msgspec_json.format(msgspec_json.encode(problems)).decode())
    else:
        _tell(files, problems)
    if not against and not problems and any(file.flow is not None for file in files):
        note("not checked against services: name them with --service, or a cluster with --bootstrap-servers")
    raise typer.Exit(1 if problems else 0)


def _files(paths: Sequence[Path]) -> list[FlowFile]:
    for path in paths:
        if not path.exists():
            _stop(f"there is no {path}: name flow files, or a folder of them")
    found = list(dict.fromkeys(flow_paths(paths)))
    if not found:
        _stop(f"there is no *.yaml in {', '.join(map(str, paths))}")
    return [read_flow_file(path) for path in found]


async def _cluster(bootstrap_servers: str | None) -> tuple[list[ServiceAnnouncement], Flows, Rules]:
    if bootstrap_servers is None:
        return [], Flows(), Rules()
    quiet()
    settings = await connected(bootstrap_servers)
    registry = await read_registry(settings)
    return await read_announcements(settings), registry.flows, Rules(registry.rules)


def _problems(
    files: Sequence[FlowFile],
    services: Iterable[ServiceAnnouncement] | None,
    known: Flows,
    rules: Rules,
) -> list[Problem]:
    found = {problem for file in files for problem in file.problems}
    found.update(check_together(files))
    for file in files:
        found.update(check_against(file, known, rules))
        if services is not None:
            found.update(check(file, services))
    return sorted(found)


def _tell(files: Sequence[FlowFile], problems: Sequence[Problem]) -> None:
    texts = {file.file: file.text.splitlines() for file in files}
    console = output()
    for problem in problems:
        if not console.is_terminal:
            print(problem)
            continue
        where = Text().append(f"{problem.file}:{problem.line}:{problem.column}: ", style="bold")
        console.print(where.append(problem.told), soft_wrap=True)
        console.print(_excerpt(texts[problem.file], problem), soft_wrap=True)
    if problems:
        wrong = len({problem.file for problem in problems})
        note(f"{_count(len(problems), 'problem')} in {wrong} of {_count(len(files), 'file')}")
    else:
        note(f"{_count(len(files), 'file')}, no problem")


def _excerpt(lines: Sequence[str], problem: Problem) -> Text:
    """The line with a mark below the place."""
    if problem.line > len(lines):
        return Text()
    number = f"{problem.line:>5} | "
    line = lines[problem.line - 1]
    # Tabs stay tabs, so that the mark stands where the terminal puts the column.
    before = "".join("\t" if each == "\t" else " " for each in line[: problem.column - 1])
    text = Text().append(number, style="dim").append(line)
    return text.append("\n" + " " * len(number) + before).append("^", style=_MARK_STYLE)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _stop(reason: str) -> NoReturn:
    print(f"saga: {reason}", file=sys.stderr)
    raise typer.Exit(_USAGE)
