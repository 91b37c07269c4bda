"""`saga acls`: the least that somebody must be allowed to do in Kafka, as commands that allow it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from saga.cli.run import load
from saga.core.access import Right, creations, grants, service_rights
from saga.core.errors import DeclarationError, SagaError
from saga.core.receipt import ServiceAnnouncement
from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers
from tracker.cli.console import note
from tracker.core.sources import announced_topics
from tracker.flow.files import flow_paths, read_flow_file
from tracker.runtime.access import (
    dashboard_rights,
    operator_rights,
    projector_rights,
    redrive_rights,
    tracker_rights,
    undo_topics,
    viewer_rights,
    webhook_rights,
)

PARTS = ("tracker", "collector", "webhooks", "project", "dashboard", "viewer", "operator", "dlq")
_READ_BUSINESS = ("tracker", "collector", "webhooks", "project", "dashboard", "dlq")


def acls(
    who: Annotated[
        str, typer.Argument(metavar="WHO", help=f"A service as MODULE:SERVICE, or one of {', '.join(PARTS)}.")
    ],
    principal: Annotated[
        str, typer.Option(help="Whom Kafka knows it by: User:NAME, or User:CN=… for a certificate.")
    ],
    service: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:SERVICE", help="A service whose topics the tracker reads; repeatable."),
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A business topic besides those of the services; repeatable."),
    ] = None,
    flows: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Flow files or their folder: what is undone is published."),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Also the right to make the topics that do not exist yet.")
    ] = False,
    bootstrap_servers: BootstrapServers = None,
) -> None:
    """Print the kafka-acls.sh commands that allow a part what it needs, and nothing else. Asks no Kafka.

    A viewer may use the commands that show sagas (list, show, watch, …), an operator also those that
    command the tracker (cancel, compensate, …); dlq redrives dead letters to the business topics.
    Nobody who uses these with --url needs any right in Kafka.

    Example: saga acls services.orders.handlers:orders --principal User:orders
    """
    try:
        services = [load(target).announcement() for target in service or ()]
        rights = _rights(who, services, topic or (), flows or ())
        servers = bootstrap_servers or KafkaSettings().bootstrap_servers
    except SagaError as error:
        sys.exit(f"saga: {error}")
    if who in _READ_BUSINESS and not services and not topic:
        note(f"saga: no business topics for the {who}: name them with --service or --topic")
    for command in grants([*rights, *(creations(rights) if create else ())], principal, servers):
        print(command)


def _rights(
    who: str, services: Sequence[ServiceAnnouncement], topics: Sequence[str], flows: Sequence[Path]
) -> tuple[Right, ...]:
    read = sorted(announced_topics(services).union(topics))
    match who:
        case "tracker":
            files = [read_flow_file(path) for path in flow_paths(flows)]
            undone = undo_topics([file.flow for file in files if file.flow is not None], services)
            return tracker_rights("all", read, undone)
        case "collector":
            return tracker_rights("collector", read)
        case "webhooks":
            return webhook_rights(read=read)
        case "project":
            return projector_rights(read)
        case "dashboard":
            return dashboard_rights(read)
        case "viewer":
            return viewer_rights()
        case "operator":
            return operator_rights()
        case "dlq":
            return redrive_rights(read)
        case _ if ":" in who:
            return service_rights(load(who))
        case _:
            raise DeclarationError(
                f"nobody is called {who!r}: name a service as MODULE:SERVICE, or one of {', '.join(PARTS)}"
            )
