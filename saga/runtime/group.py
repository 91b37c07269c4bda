"""Consumer groups by the broker's word: who is a member, and from which address."""

import asyncio
from collections.abc import Iterable

from msgspec import Struct

from saga.core.errors import KafkaUnavailable
from saga.runtime.kafka import admin
from saga.runtime.settings import KafkaSettings

_CONNECT_SECONDS = 5.0


class Group(Struct, frozen=True):
    """A consumer group. `hosts` are the addresses of its members, one each; none if it does not exist."""

    name: str
    state: str
    hosts: tuple[str, ...]


async def describe_groups(settings: KafkaSettings, names: Iterable[str]) -> list[Group]:
    """What the groups' coordinators say of them. A member counts until its session has timed out."""
    async with admin(settings) as client:
        # One by one: aiokafka can't read an answer about several groups.
        answers = [answer for name in names for answer in await client.describe_consumer_groups([name])]
    return [
        Group(
            group["group"],
            group["state"],
            tuple(member["client_host"].removeprefix("/") for member in group["members"]),
        )
        for answer in answers
        for group in answer.to_object()["groups"]
    ]


async def own_address(settings: KafkaSettings) -> str:
    """The address that brokers see of this machine.

    Raises
    ------
    KafkaUnavailable
        No broker of the list accepts a connection.
    """
    for server in settings.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, TimeoutError):
            continue
        address: str = writer.get_extra_info("sockname")[0]
        writer.close()
        return address
    raise KafkaUnavailable(f"no Kafka answers at {settings.bootstrap_servers}")
