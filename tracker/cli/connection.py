"""What commands have in common: where what they ask is, and how a failure is told."""

import asyncio
import logging
import sys
from collections.abc import Coroutine
from typing import Annotated

import typer

from saga.core.errors import SagaError
from saga.runtime.access import REFUSALS, refused_by
from saga.runtime.kafka import KafkaError, until_available
from saga.runtime.settings import KafkaSettings

CONNECT_TIMEOUT_SECONDS = 5.0
"""Somebody sits in front of it: a service may wait for Kafka longer (SAGA_CONNECT_TIMEOUT_SECONDS)."""

BootstrapServers = Annotated[
    str | None, typer.Option(help="Kafka brokers, host:port.", envvar="SAGA_BOOTSTRAP_SERVERS")
]

Url = Annotated[
    str | None,
    typer.Option(
        help="Ask the `saga dashboard` at this URL, and no Kafka; SAGA_TOKEN has the API token.",
        envvar="SAGA_URL",
    ),
]


async def connected(bootstrap_servers: str | None) -> KafkaSettings:
    """The settings of a Kafka that answers.

    Raises
    ------
    KafkaUnavailable
        None does within `CONNECT_TIMEOUT_SECONDS`, or as long as the environment says.
    """
    settings = KafkaSettings()
    changes: dict[str, object] = {}
    if bootstrap_servers is not None:
        changes["bootstrap_servers"] = bootstrap_servers
    if "connect_timeout_seconds" not in settings.model_fields_set:
        changes["connect_timeout_seconds"] = CONNECT_TIMEOUT_SECONDS
    settings = settings.model_copy(update=changes)
    await until_available(settings)
    return settings


def run(command: Coroutine[object, object, int]) -> None:
    """Run a command to its end and leave the process with its exit code; Ctrl-C is no error.

    What the world does wrong is told in one line on stderr, exit code 1.
    """
    quiet()
    try:
        code = asyncio.run(command)
    except KeyboardInterrupt:
        code = 0
    except SagaError as error:
        print(f"saga: {error}", file=sys.stderr)
        code = 1
    except KafkaError as error:
        told = refused_by(KafkaSettings(), error) if isinstance(error, REFUSALS) else error
        print(f"saga: {told}", file=sys.stderr)
        code = 1
    raise typer.Exit(code)


def quiet() -> None:
    """The client tells of each attempt to connect; the one line at the end says it all."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("saga").setLevel(logging.ERROR)
