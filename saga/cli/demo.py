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
        str, typer.Option(help="Folder to keep Kafka's and the tracker's data in. [default: a temporary one]")
    ] = "",
    bootstrap_servers: Annotated[
        str, typer.Option(help="Kafka brokers, host:port, instead of a Kafka of the demo's own.")
    ] = "",
) -> None:
    """Start Kafka, four services, a tracker and a stream of orders, and watch them. Ctrl-C ends it all.

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
    # Not as a child: Ctrl-C, SIGTERM and kill -9 are for one process, and it ends all others.
    os.execv(sys.executable, [sys.executable, "-m", "services.demo", *arguments])
