"""`saga demo`: starts the example that ships with the repository."""

import importlib.util
import os
import sys
from typing import Annotated

import typer


def demo(
    rate: Annotated[float, typer.Option(min=0, help="Orders a second.")] = 5.0,
    seconds: Annotated[float, typer.Option(min=0, help="End by itself after so long; 0: at Ctrl-C.")] = 0.0,
    data: Annotated[
        str,
        typer.Option(
            help="Folder to keep Kafka's and the tracker's data in.", show_default="a temporary one"
        ),
    ] = "",
    node: Annotated[
        bool, typer.Option("--node", help="Also a service in JavaScript, which grants points for parcels.")
    ] = False,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Watch them in the terminal, without the dashboard.")
    ] = False,
    bootstrap_servers: Annotated[
        str, typer.Option(help="Kafka brokers, host:port, instead of a Kafka of the demo's own.")
    ] = "",
) -> None:
    """Start Kafka, four services, a tracker, its dashboard and a stream of orders. Ctrl-C ends it all.

    Example: saga demo --rate 50
    """
    if importlib.util.find_spec("services") is None:
        sys.exit(
            "saga: the demo is the example of the repository, not of the installed package. Clone the "
            "repository and type `make demo` there"
        )
    arguments = ["--rate", str(rate), "--seconds", str(seconds)]
    for name, value in (("--data", data), ("--bootstrap-servers", bootstrap_servers)):
        if value:
            arguments += [name, value]
    arguments += [f"--{name}" for name, wanted in (("node", node), ("terminal", terminal)) if wanted]
    # Not as a child: Ctrl-C, SIGTERM and kill -9 are for one process, and it ends all others.
    os.execv(sys.executable, [sys.executable, "-m", "services.demo", *arguments])
