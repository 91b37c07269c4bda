"""`saga track`: the tracker itself, until Ctrl-C."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tracker.cli.connection import BootstrapServers
from tracker.runtime.settings import Part, Processes, TrackerSettings


def track(
    state_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the saga table; each tracker on a machine needs its own.",
            envvar="SAGA_STATE_DIR",
            show_default="data/tracker",
        ),
    ] = None,
    topics: Annotated[
        str | None,
        typer.Option(
            help="Business topics besides those that services announce: names separated by commas, or a "
            "regular expression.",
            envvar="SAGA_TRACKER_TOPICS",
        ),
    ] = None,
    flows: Annotated[
        Path | None,
        typer.Option(
            help="Folder of flow files (*.yaml). Without it the tracker follows the flows that the cluster "
            "knows already.",
            envvar="SAGA_FLOWS_DIR",
        ),
    ] = None,
    parts: Annotated[
        Part | None,
        typer.Option(help="Only collect, or only track: on several machines.", envvar="SAGA_PARTS"),
    ] = None,
    processes: Annotated[
        Processes | None,
        typer.Option(
            help="2: the collector has a process of its own, so that both parts have a processor each.",
            envvar="SAGA_PROCESSES",
            show_default="auto: 2 where there are two processors",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log each step of a rebalance.")] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Collect events and receipts, and keep the state of every saga.

    Runs until Ctrl-C. Start it on several machines and they share the work; stop it, and it catches
    up later.

    Example: saga track --flows schemas/flows --state-dir /var/lib/saga
    """
    # Faust takes a second to import, and `saga --help` loads every command.
    from tracker.runtime.worker import main

    given = {
        "bootstrap_servers": bootstrap_servers,
        "state_dir": state_dir,
        "tracker_topics": topics,
        "parts": parts,
        "processes": processes,
        "flows_dir": None if flows is None else str(flows),
    }
    settings = TrackerSettings().model_copy(update={k: v for k, v in given.items() if v is not None})
    code = main(settings, logging.DEBUG if verbose else logging.INFO)
    # Threads of Faust that hang must not keep a process alive that has said goodbye.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
