"""`saga kafka`: the real Apache Kafka on this machine, until Ctrl-C."""

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from saga.core.errors import LocalKafkaError
from saga.local import LocalKafka
from saga.local.jars import KAFKA_VERSION


def kafka(
    data: Annotated[Path, typer.Option(help="Folder of the records; they survive a restart.")] = Path(
        "data/kafka"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for clients; 0 takes a free one.")] = 9092,
    heap_mb: Annotated[int, typer.Option(min=128, help="Java's heap in MB.")] = 512,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A broker property; may be repeated."),
    ] = None,
) -> None:
    """Run a real Apache Kafka broker on this machine, without Docker or Java.

    The first run downloads it (45 MB). Ctrl-C stops it.

    Example: saga kafka --port 19092 --data /tmp/kafka --set log.retention.hours=1
    """
    broker = LocalKafka(data, port=port or None, properties=_properties(set_ or []), heap_mb=heap_mb)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as orderly as for Ctrl-C
    try:
        _serve(broker, data)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopping Apache Kafka")
    except LocalKafkaError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    finally:
        broker.stop()


def _serve(broker: LocalKafka, data: Path) -> None:
    broker.start()
    typer.echo(
        f"Apache Kafka {KAFKA_VERSION} is ready. Bootstrap servers: {broker.bootstrap_servers}\n"
        f"Its data is in {data}, its log in {data / 'broker.log'}. Ctrl-C stops it."
    )
    broker.wait()
    raise LocalKafkaError(f"Apache Kafka ended by itself. The end of its log:\n{broker.log_tail()}")


def _properties(assignments: list[str]) -> dict[str, str]:
    pairs = [assignment.partition("=") for assignment in assignments]
    for name, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"{name!r} is not NAME=VALUE", param_hint="--set")
    return {name.strip(): value.strip() for name, _, value in pairs}
