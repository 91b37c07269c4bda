"""Consumer groups by the broker's word: who is a member, and from which address."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError
from msgspec import Struct

from saga.core.errors import KafkaUnavailable
from saga.runtime.kafka import TopicPartition, admin
from saga.runtime.settings import KafkaSettings

_CONNECT_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 0.2

T = TypeVar("T")


class Group(Struct, frozen=True):
    """A consumer group. `hosts` are the addresses of its members, one each; none if it does not exist.

    `topics` are those of which a member has a partition; none while the group is rebalancing.
    """

    name: str
    state: str
    hosts: tuple[str, ...]
    topics: frozenset[str]


async def describe_groups(settings: KafkaSettings, names: Iterable[str]) -> list[Group]:
    """What the groups' coordinators say of them. A member counts until its session has timed out."""
    async with admin(settings) as client:
        # One by one: aiokafka can't read an answer about several groups.
        answers = [
            answer
            for name in names
            for answer in await _coordinated(partial(client.describe_consumer_groups, [name]))
        ]
    return [
        Group(
            group["group"],
            group["state"],
            tuple(member["client_host"].removeprefix("/") for member in group["members"]),
            frozenset(topic for member in group["members"] for topic in _topics(member["member_assignment"])),
        )
        for answer in answers
        for group in answer.to_object()["groups"]
    ]


async def committed_offsets(settings: KafkaSettings, name: str) -> dict[TopicPartition, int]:
    """The offsets that the group has committed; none if it does not exist."""
    async with admin(settings) as client:
        found = await _coordinated(partial(client.list_consumer_group_offsets, name))
    return {partition: kept.offset for partition, kept in found.items()}


async def _coordinated(ask: Callable[[], Awaitable[T]]) -> T:
    """What a group's coordinator says, once there is one: a new cluster takes a moment to name it."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            return await ask()
        except (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_ASK_AGAIN_SECONDS)


def _topics(assignment: bytes) -> list[str]:
    """The topics of a member's assignment, which is empty before it has any."""
    if not assignment:
        return []
    return [topic for topic, _ in ConsumerProtocol.ASSIGNMENT.decode(assignment).assignment]


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
