"""`saga export`: sagas as an event log, for tools of process mining."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO, assert_never

import typer

from saga.core.errors import SagaError
from tracker.cli.connection import BootstrapServers, connected, run
from tracker.cli.console import note
from tracker.cli.rows import ELLIPSIS
from tracker.core.clock import CLOCK_ROW
from tracker.core.export.csv_log import csv_log
from tracker.core.export.ocel import ocel
from tracker.core.export.xes import xes
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.core.status import Status
from tracker.view.changelog import read_compacted
from tracker.view.export import Cases, named
from tracker.view.known import read_known
from tracker.view.row import Row
from tracker.view.selection import Selection


class ExportFormat(StrEnum):
    """What the log is written as."""

    OCEL = "ocel"
    XES = "xes"
    CSV = "csv"


class NotWritten(SagaError):
    """The file can't be written. The message says why."""


def export(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Only these sagas: a part of the id, or the business key."),
    ] = None,
    format_: Annotated[
        ExportFormat, typer.Option("--format", help="OCEL 2.0 (JSON), XES (IEEE 1849), or CSV.")
    ] = ExportFormat.OCEL,
    flow: Annotated[
        str | None, typer.Option(help="Only sagas of this flow, or that begin with this event.")
    ] = None,
    status: Annotated[list[Status] | None, typer.Option(help="Only these; may be given repeatedly.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A file instead of the terminal.")
    ] = None,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Write sagas and their events as a log that tools of process mining read.

    Example: saga export --format xes --flow order -o orders.xes
    """
    selection = Selection(frozenset(status or ()), flow)
    run(
        _export(
            bootstrap_servers, [id_.removeprefix(ELLIPSIS) for id_ in ids or ()], format_, selection, output
        )
    )


async def _export(
    bootstrap_servers: str | None,
    ids: list[str],
    format_: ExportFormat,
    selection: Selection,
    path: Path | None,
) -> int:
    settings = await connected(bootstrap_servers)
    known = await read_known(settings)
    newest = await read_compacted(settings, SAGAS_CHANGELOG_TOPIC)
    newest.pop(CLOCK_ROW.encode(), None)
    now_ms = time.time_ns() // 1_000_000
    is_named = named(ids)

    def takes(row: Row) -> bool:
        return selection.takes(row, now_ms) and (not ids or is_named(row))

    cases = Cases([newest[saga] for saga in sorted(newest)], known, takes)
    try:
        with _place(path) as file:
            for piece in _pieces(cases, format_):
                file.write(piece)
    except BrokenPipeError:
        # Whoever read has seen enough. Without this Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        raise NotWritten(f"{path or 'the output'} can't be written: {error.strerror}") from error
    if cases.unreadable:
        note(f"{cases.unreadable} record{'s' if cases.unreadable > 1 else ''} could not be read")
    if not cases.found:
        note("no saga is like that" if newest else "there is no saga yet")
    elif path is not None:
        note(f"{cases.found:,} saga{'' if cases.found == 1 else 's'} went to {path}")
    return 0 if cases.found or not ids else 1


def _pieces(cases: Cases, format_: ExportFormat) -> Iterable[str]:
    match format_:
        case ExportFormat.OCEL:
            return ocel(lambda: cases)
        case ExportFormat.XES:
            return xes(cases)
        case ExportFormat.CSV:
            return csv_log(cases)
        case _:
            assert_never(format_)


@contextlib.contextmanager
def _place(path: Path | None) -> Iterator[TextIO]:
    """Where the log goes. A file gets its name when all of it is written: a half one looks like a whole."""
    if path is None:
        # CSV has line ends of its own.
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        yield sys.stdout
        sys.stdout.flush()
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
