"""`saga health`: whether a service or the tracker is a working member of its consumer group."""

import asyncio
import sys
from typing import Annotated

import typer

from saga.core.errors import SagaError
from saga.runtime.group import Group, describe_groups
from saga.runtime.kafka import KafkaError, until_available
from saga.runtime.settings import KafkaSettings

_CONNECT_SECONDS = 5.0


def health(
    group: Annotated[str, typer.Argument(help="The service's name, or the tracker's group.")],
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka brokers, host:port.", envvar="SAGA_BOOTSTRAP_SERVERS")
    ] = None,
) -> None:
    """Exit with 0 if the group has a member at work, and with 1 and the reason otherwise.

    Meant for the health check of a container.

    Example: saga health inventory
    """
    given = {} if bootstrap_servers is None else {"bootstrap_servers": bootstrap_servers}
    settings = KafkaSettings().model_copy(update={"connect_timeout_seconds": _CONNECT_SECONDS, **given})
    try:
        found = asyncio.run(_described(settings, group))
    except (SagaError, KafkaError, OSError) as error:
        sys.exit(f"saga: the group {group} can't be asked for: {error}")
    if not found.hosts:
        sys.exit(f"saga: the group {group} has no members ({found.state}): is it running?")
    print(f"{group}: {found.state}, {len(found.hosts)} members")


async def _described(settings: KafkaSettings, group: str) -> Group:
    await until_available(settings)
    [found] = await describe_groups(settings, [group])
    return found
