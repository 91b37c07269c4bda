"""`saga health`: whether a service or the tracker is a working member of its consumer group."""

import asyncio
import logging
import sys
from typing import Annotated

import typer

from saga.core.errors import SagaError
from saga.runtime.group import Group, describe_groups, own_address
from saga.runtime.kafka import KafkaError, until_available
from saga.runtime.settings import KafkaSettings

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 8.0


def health(
    groups: Annotated[
        list[str],
        typer.Argument(
            metavar="GROUP...", help="A service's name; saga-collector and saga-tracker for the tracker."
        ),
    ],
    here: Annotated[
        bool,
        typer.Option("--here", help="A member must be on this machine, by the address that brokers see."),
    ] = False,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka brokers, host:port.", envvar="SAGA_BOOTSTRAP_SERVERS")
    ] = None,
) -> None:
    """Exit with 0 if each group has a member at work, and with 1 and the reason otherwise.

    Meant for the health check of a container. Kafka knows: a process that hangs is no member any more
    once its session has timed out.

    Example: saga health inventory --here
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # one line is enough of an answer
    logging.getLogger("saga").setLevel(logging.ERROR)
    given = {} if bootstrap_servers is None else {"bootstrap_servers": bootstrap_servers}
    settings = KafkaSettings().model_copy(update={"connect_timeout_seconds": _CONNECT_SECONDS, **given})
    try:
        found, address = asyncio.run(_asked(settings, groups))
    except (SagaError, KafkaError, OSError) as error:
        sys.exit(
            f"saga: the group {' and '.join(groups)} can't be asked for: {error or 'no answer from Kafka'}"
        )
    for group in found:
        _judge(group, address if here else None)
    for group in found:
        print(f"{group.name}: {group.state}, members at {', '.join(group.hosts)}")


async def _asked(settings: KafkaSettings, names: list[str]) -> tuple[list[Group], str]:
    async with asyncio.timeout(_ANSWER_SECONDS):
        await until_available(settings)
        return await describe_groups(settings, names), await own_address(settings)


def _judge(group: Group, address: str | None) -> None:
    """Exit if the group has nobody at work, at this address if one is given."""
    if not group.hosts:
        sys.exit(f"saga: the group {group.name} has no members ({group.state}): is it running?")
    if address is not None and address not in group.hosts:
        sys.exit(f"saga: the group {group.name} has no member at {address}, only at {', '.join(group.hosts)}")
