"""The door to Kafka: clients as we want them, topics made when missing, waiting for a broker.

Everything of aiokafka that the rest of the code may use comes through here or `saga.runtime.fencing`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    ProducerFenced,
    TopicAlreadyExistsError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.structs import OffsetAndMetadata

from saga.core.errors import KafkaUnavailable
from saga.runtime.settings import KafkaSettings

__all__ = [
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "CommitFailedError",
    "ConsumerRebalanceListener",
    "ConsumerRecord",
    "IllegalGenerationError",
    "KafkaError",
    "OffsetAndMetadata",
    "ProducerFenced",
    "Topic",
    "TopicPartition",
    "UnknownMemberIdError",
    "admin",
    "ensure_topics",
    "partition_counts",
    "until_available",
]

logger = logging.getLogger(__name__)

_BACKOFF_FIRST_SECONDS = 0.1
_BACKOFF_MAX_SECONDS = 5.0


@dataclass(frozen=True)
class Topic:
    """A topic that must exist. `partitions` None: as the settings say."""

    name: str
    partitions: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, closed at the end."""
    client = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def until_available(settings: KafkaSettings) -> None:
    """Wait until a broker answers, with a backoff of 0.1 to 5 seconds.

    Raises
    ------
    KafkaUnavailable
        None answered within `connect_timeout_seconds`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.connect_timeout_seconds
    delay = _BACKOFF_FIRST_SECONDS
    while True:
        try:
            async with admin(settings) as client:
                await client.describe_cluster()
        except (KafkaConnectionError, NodeNotReadyError, OSError) as error:
            if loop.time() + delay > deadline:
                raise KafkaUnavailable(
                    f"no Kafka answers at {settings.bootstrap_servers} within "
                    f"{settings.connect_timeout_seconds:g} s. Start one (`saga kafka`, or `docker compose "
                    "up`), or set SAGA_BOOTSTRAP_SERVERS to where yours is"
                ) from error
            logger.warning("waiting for Kafka at %s: %s", settings.bootstrap_servers, error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _BACKOFF_MAX_SECONDS)
        else:
            return


async def ensure_topics(settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    """Make the topics that do not exist yet; those that do are left as they are.

    Returns when brokers know all of them and who leads their partitions: a consumer group that is
    formed before would share out the partitions known by then, and leave the others unread for minutes.

    Raises
    ------
    KafkaUnavailable
        The broker refuses to make one (rights, limits), or has not made one within
        `connect_timeout_seconds`; the message names the topic.
    """
    wanted = {topic.name: topic for topic in topics}
    async with admin(settings) as client:
        existing = set(await client.list_topics())
        missing = [topic for name, topic in wanted.items() if name not in existing]
        if missing:
            await _create(client, settings, missing)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.connect_timeout_seconds
        while unready := _unready(await client.describe_topics(list(wanted))):
            if loop.time() > deadline:
                raise KafkaUnavailable(
                    f"no broker leads the partitions of {', '.join(unready)}: look after the cluster"
                )
            await asyncio.sleep(_BACKOFF_FIRST_SECONDS)


async def _create(client: AIOKafkaAdminClient, settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    response = await client.create_topics(
        [
            NewTopic(
                topic.name,
                topic.partitions or settings.topic_partitions,
                settings.topic_replicas,
                topic_configs=dict(topic.config),
            )
            for topic in topics
        ]
    )
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code != 0 and error is not TopicAlreadyExistsError:
            raise KafkaUnavailable(
                f"the topic {name} can't be made: {error.__name__}. Make it by hand, or give this "
                "user the right to create topics"
            )


def _unready(described: Iterable[Any]) -> list[str]:
    """The topics that are not known yet, or of which a partition has no leader."""
    return [
        topic["topic"]
        for topic in described
        if topic["error_code"] != 0
        or any(partition["error_code"] != 0 or partition["leader"] < 0 for partition in topic["partitions"])
    ]


async def partition_counts(settings: KafkaSettings, names: Iterable[str]) -> dict[str, int]:
    """How many partitions each of these topics has; topics that do not exist are left out."""
    async with admin(settings) as client:
        described = await client.describe_topics(list(names))
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}
