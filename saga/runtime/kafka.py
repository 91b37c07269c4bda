"""The door to Kafka: clients as we want them, topics made when missing, waiting for a broker.

Everything of aiokafka that the rest of the code may use comes through here or `saga.runtime.fencing`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CommitFailedError,
    IllegalGenerationError,
    IllegalOperation,
    InvalidReplicationFactorError,
    KafkaError,
    ProducerFenced,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.structs import OffsetAndMetadata

from saga.core.access import Right, lacks
from saga.core.errors import AccessRefused, KafkaUnavailable
from saga.core.pause import COMPACTED, PAUSED_TOPIC
from saga.core.receipt import SERVICES_TOPIC
from saga.runtime.connection import connection
from saga.runtime.login import principal, refusal
from saga.runtime.settings import KafkaSettings

__all__ = [
    "PAUSED",
    "SERVICES",
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "CommitFailedError",
    "ConsumerRebalanceListener",
    "ConsumerRecord",
    "IllegalGenerationError",
    "IllegalOperation",
    "KafkaError",
    "OffsetAndMetadata",
    "ProducerFenced",
    "Topic",
    "TopicPartition",
    "UnknownMemberIdError",
    "admin",
    "connection",
    "ensure_topics",
    "may_pass",
    "partition_counts",
    "producing",
    "reader",
    "records_before",
    "started",
    "until_available",
]

logger = logging.getLogger(__name__)

_BACKOFF_FIRST_SECONDS = 0.1
_BACKOFF_MAX_SECONDS = 5.0
_STARTED_SECONDS = 3.0


@dataclass(frozen=True)
class Topic:
    """A topic that must exist. `partitions` None: as the settings say."""

    name: str
    partitions: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)


PAUSED = Topic(PAUSED_TOPIC, 1, COMPACTED)
SERVICES = Topic(SERVICES_TOPIC, 1, COMPACTED)
"""Made by whoever comes first, tracker or service."""


Client = TypeVar("Client", bound="AIOKafkaAdminClient | AIOKafkaProducer | AIOKafkaConsumer[Any, Any]")


async def started(client: Client) -> Client:
    """Start a client and hand it back; one that does not come up is stopped.

    Cancelled in the midst of its first question, aiokafka forgets a connection and leaves it open. So
    whoever is cancelled waits a moment for the answer.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        await asyncio.shield(starting)
    except BaseException:
        if not starting.done():
            await asyncio.wait([starting], timeout=_STARTED_SECONDS)
            starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await _stopped(client)
        raise
    return client


async def _stopped(client: Client) -> None:
    # aiokafka can't end a task of its own before the first step of it, and an admin client closes nothing
    # that has not come up.
    await asyncio.sleep(0)
    with contextlib.suppress(KafkaError):
        if isinstance(client, AIOKafkaAdminClient):
            await client._client.close()
        else:
            await client.stop()


@contextlib.asynccontextmanager
async def admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, closed at the end."""
    client = await started(AIOKafkaAdminClient(**connection(settings)))
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def producing(settings: KafkaSettings, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that writes each record once, stopped at the end, also if it could not start."""
    producer = await started(AIOKafkaProducer(**connection(settings), enable_idempotence=True, **options))
    try:
        yield producer
    finally:
        await producer.stop()


_FETCH_WAIT_MS = 100


@contextlib.asynccontextmanager
async def reader(
    settings: KafkaSettings, *topics: str, **options: Any
) -> AsyncIterator["AIOKafkaConsumer[bytes, bytes]"]:
    """A consumer of no group that begins with the first records, stopped at the end.

    Kafka answers the requests of a connection one after the other. So whoever asks where an idle topic
    ends waits as long as the fetch before it does, which is half a second with the usual settings.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        **options,
    )
    await started(consumer)
    try:
        # Or stop() raises: aiokafka cannot end a task of its own before the first step of it.
        await asyncio.sleep(0)
        yield consumer
    finally:
        await consumer.stop()


_POLL_MS = 200


async def records_before(
    consumer: "AIOKafkaConsumer[bytes, bytes]", ends: Mapping[TopicPartition, int]
) -> "AsyncIterator[tuple[TopicPartition, list[ConsumerRecord[bytes, bytes]]]]":
    """Batches of records of partitions that are assigned, until each has been read up to its end.

    The last batch of a partition may go beyond it.
    """
    left = ends
    while True:
        # The position and not the last offset: compaction and transactions leave gaps at the end.
        left = {source: end for source, end in left.items() if await consumer.position(source) < end}
        if not left:
            return
        for source, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
            yield source, records


def may_pass(error: BaseException) -> bool:
    """Whether another attempt may go well: nobody answers, or a broker has not come up or moves."""
    return isinstance(error, OSError) or getattr(error, "retriable", False)


async def until_available(settings: KafkaSettings) -> None:
    """Wait until a broker answers, with a backoff of 0.1 to 5 seconds.

    Raises
    ------
    AccessRefused
        One answered, and does not let us in.
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
        except (KafkaError, OSError) as error:
            if not may_pass(error):
                raise
            turned_away = await refusal(settings)
            if turned_away is not None:
                raise turned_away from error
            if loop.time() + delay > deadline:
                raise KafkaUnavailable(
                    f"no Kafka answers at {settings.bootstrap_servers} within "
                    f"{settings.connect_timeout_seconds:g} s. Start one (`saga kafka`, or `docker compose "
                    "up`), or set SAGA_BOOTSTRAP_SERVERS to where yours is, and SAGA_SECURITY_PROTOCOL (now "
                    f"{settings.security_protocol}) to what it wants of clients"
                ) from error
            logger.warning(
                "waiting for Kafka at %s (%s): %s",
                settings.bootstrap_servers,
                settings.security_protocol,
                error,
            )
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
    AccessRefused
        We may not make them; the message has the commands that do.
    KafkaUnavailable
        The broker refuses to make one (limits), or has not made one within `connect_timeout_seconds`;
        the message names the topic.
    """
    wanted = {topic.name: topic for topic in topics}
    async with admin(settings) as client:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.connect_timeout_seconds
        existing = set(await client.list_topics())
        missing = [topic for name, topic in wanted.items() if name not in existing]
        while missing and (later := await _create(client, settings, missing)):
            if loop.time() > deadline:
                raise _not_made(*later.popitem())
            missing = [topic for topic in missing if topic.name in later]
            await asyncio.sleep(_BACKOFF_FIRST_SECONDS)
        while unready := _unready(await _described(client, settings, wanted)):
            if loop.time() > deadline:
                raise KafkaUnavailable(
                    f"no broker leads the partitions of {', '.join(unready)}: look after the cluster"
                )
            await asyncio.sleep(_BACKOFF_FIRST_SECONDS)


async def _create(
    client: AIOKafkaAdminClient, settings: KafkaSettings, missing: Iterable[Topic]
) -> dict[str, str]:
    """Make the topics; those that can't be made yet, and why: a broker may only just have come up."""
    response = await client.create_topics(
        [
            NewTopic(
                topic.name,
                topic.partitions or settings.topic_partitions,
                settings.topic_replicas,
                topic_configs=dict(topic.config),
            )
            for topic in missing
        ]
    )
    refused: list[str] = []
    later: dict[str, str] = {}
    for name, code, *words in response.topic_errors:
        error = for_code(code)
        why = " ".join([error.__name__, *filter(None, words)])
        if error in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            refused.append(name)
        elif error.retriable or error is InvalidReplicationFactorError:
            later[name] = why
        elif code != 0 and error is not TopicAlreadyExistsError:
            raise _not_made(name, why)
    if refused:
        raise AccessRefused(
            f"{principal(settings)} may not make the topics that are missing, or may not see them: "
            f"{', '.join(refused)}. Who administers Kafka makes them with: "
            f"{' && '.join(_by_hand(settings, topic) for topic in missing if topic.name in refused)}; or "
            "`saga acls --create` prints what gives the right to"
        )
    return later


def _not_made(name: str, why: str) -> KafkaUnavailable:
    return KafkaUnavailable(f"the topic {name} can't be made: {why}. Make it by hand")


def _by_hand(settings: KafkaSettings, topic: Topic) -> str:
    """The command that makes a topic."""
    config = "".join(f" --config {name}={value}" for name, value in topic.config.items())
    return (
        f"kafka-topics.sh --bootstrap-server {settings.bootstrap_servers} --create --topic {topic.name} "
        f"--partitions {topic.partitions or settings.topic_partitions} "
        f"--replication-factor {settings.topic_replicas}{config}"
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
    """How many partitions each of these topics has; topics that do not exist are left out.

    Raises
    ------
    AccessRefused
        We may not know of one of them: it would look as if it did not exist.
    """
    async with admin(settings) as client:
        described = await _described(client, settings, names)
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}


async def _described(
    client: AIOKafkaAdminClient, settings: KafkaSettings, names: Iterable[str]
) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = await client.describe_topics(list(names))
    hidden = [
        Right("topic", topic["topic"], "Describe")
        for topic in described
        if for_code(topic["error_code"]) is TopicAuthorizationFailedError
    ]
    if hidden:
        raise AccessRefused(lacks(principal(settings), hidden, settings.bootstrap_servers))
    return described
