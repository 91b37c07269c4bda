"""`python -m tests.bench [ROW ...] [--json]`: our figures beside those of our peers."""

import argparse
import asyncio
import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from saga.local import LocalKafka
from saga.local.jars import KAFKA_VERSION
from tests.bench.row import Figure, Row

NAMES = (
    "hop",
    "tracker",
    "latency",
    "system",
    "sla",
    "timers",
    "restore",
    "scale",
    "workers",
    "stages",
    "visible",
    "project",
    "rebuild",
    "search",
    "api",
    "pixel",
)


def main() -> None:
    asked = _arguments()
    rows = []
    for name in asked.rows or NAMES:
        if importlib.util.find_spec(f"tests.bench.{name}") is None:
            print(f"{name}: not there yet", file=sys.stderr)
            continue
        print(f"{name} ...", file=sys.stderr)
        rows.append(_measured(name))
    if asked.json:
        for row in rows:
            print(row.json())
    else:
        _show(rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"some of: {', '.join(NAMES)}; all if none")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each row")
    asked = parser.parse_args()
    unknown = set(asked.rows) - set(NAMES)
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return asked


def _measured(name: str) -> Row:
    """A row has a Kafka of its own: what one leaves on the disk must not slow down the next."""
    module = importlib.import_module(f"tests.bench.{name}")
    with LocalKafka(heap_mb=1024) as kafka:
        row = asyncio.run(module.run(kafka.bootstrap_servers))
    assert isinstance(row, Row)
    return row


def _show(rows: Iterable[Row]) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=_machine(), title_justify="left")
    for heading in ("row", "", "figure", "unit", "ratio", "goal"):
        table.add_column(heading, justify="right" if heading in ("figure", "ratio") else "left")
    for row in rows:
        for line in _lines(row):
            table.add_row(*line)
        table.add_section()
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _lines(row: Row) -> Iterable[Sequence[str]]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    runs = f"ours, median of {row.runs} runs" if row.runs > 1 else "ours, one run"
    yield row.name, runs, _text(row.ours), row.unit, ratio, row.goal
    for name, figure in (*row.extra.items(), *row.peers.items()):
        yield "", name, _text(figure), row.unit, "", ""


def _text(figure: Figure) -> str:
    if isinstance(figure, float | int):
        return f"{figure:,.0f}"
    return " · ".join(f"{name} {value:,.1f}" for name, value in figure.items())


def _machine() -> str:
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, load {load}, Python {platform.python_version()}, "
        f"Apache Kafka {KAFKA_VERSION} on the same machine"
    )


if __name__ == "__main__":
    main()
