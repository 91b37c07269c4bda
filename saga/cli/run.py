"""`saga run`: runs services, and what `python -m services.<name>` calls."""

import asyncio
import importlib
import logging
import os
import sys
from typing import Annotated

import typer

from saga.core.errors import DeclarationError, SagaError
from saga.core.service import Service
from saga.runtime.settings import ServiceSettings
from saga.runtime.worker import run_service


def run_command(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:SERVICE", help="Where the Service object is, as in Python.")
    ],
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka brokers, host:port.", envvar="SAGA_BOOTSTRAP_SERVERS")
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(help="Name of this instance, the same after a restart.", envvar="SAGA_INSTANCE"),
    ] = None,
) -> None:
    """Run a service until Ctrl-C or SIGTERM. Further settings are variables SAGA_<NAME>.

    Example: saga run services.inventory.handlers:inventory
    """
    given = {"bootstrap_servers": bootstrap_servers, "instance": instance}
    changes = {name: value for name, value in given.items() if value is not None}
    settings = ServiceSettings().model_copy(update=changes)
    try:
        service = load(target)
    except DeclarationError as error:
        sys.exit(f"saga: {error}")
    run(service, settings)


def run(service: Service, settings: ServiceSettings | None = None) -> None:
    """Run a service in this process until SIGTERM or SIGINT; exits with 1 and a reason if it can't."""
    logging.basicConfig(
        level=os.environ.get("SAGA_LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    try:
        asyncio.run(run_service(service, settings))
    except SagaError as error:
        sys.exit(f"saga: {error}")


def load(target: str) -> Service:
    """The service that `module:name` stands for.

    Raises
    ------
    DeclarationError
        There is no such module or no service of that name in it.
    """
    module_name, _, name = target.partition(":")
    if not name:
        raise DeclarationError(
            f"{target!r} must be MODULE:SERVICE, such as services.inventory.handlers:inventory"
        )
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise DeclarationError(f"no module {module_name!r} from here: {error}") from error
    service = getattr(module, name, None)
    if not isinstance(service, Service):
        found = ", ".join(key for key, value in vars(module).items() if isinstance(value, Service)) or "none"
        raise DeclarationError(f"{module_name} has no service {name!r}; services in it: {found}")
    return service
