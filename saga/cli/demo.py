"""`saga demo`: starts the example that ships with the repository."""

import importlib.util
import subprocess
import sys
from typing import Annotated

import typer


def demo(
    rate: Annotated[float, typer.Option(help="Orders a second.")] = 20.0,
    seconds: Annotated[float, typer.Option(help="End by itself after so long; 0: at Ctrl-C.")] = 0.0,
    data: Annotated[str, typer.Option(help="Folder to keep Kafka's and the tracker's data in.")] = "",
) -> None:
    """Start Kafka, four services, a tracker and a stream of orders, and watch them. Ctrl-C ends it all.

    Example: saga demo --rate 50
    """
    if importlib.util.find_spec("services") is None:
        sys.exit(
            "saga: the demo is the example of the repository, not of the installed package. Clone the "
            "repository and type `make demo` there"
        )
    arguments = ["--rate", str(rate), "--seconds", str(seconds), "--data", data]
    # The child gets Ctrl-C from the terminal as we do, and ends everything in order: wait for it.
    child = subprocess.Popen([sys.executable, "-m", "services.demo", *arguments])
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:
            continue
