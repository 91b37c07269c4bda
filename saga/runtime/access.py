"""What Kafka lets us do: asked before work begins, and when it refuses something."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from aiokafka.client import CoordinationType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    NotCoordinatorForGroupError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Bytes, Int16, Int32, Schema, String

from saga.core.access import Operation, Resource, Right, lacks
from saga.core.errors import AccessRefused
from saga.runtime.kafka import admin
from saga.runtime.login import principal, refusal
from saga.runtime.settings import KafkaSettings

_COORDINATOR_SECONDS_MAX = 5.0
_ASK_AGAIN_SECONDS = 0.1

_BITS: dict[Operation, int] = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8}
"""Kafka's numbers of the operations, by which they are told of (KIP-430)."""

_RESOURCES: dict[type[KafkaError], Resource] = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional-id",
}


REFUSALS = (*_RESOURCES, ClusterAuthorizationFailedError)
"""What Kafka answers to those who lack a right."""


async def check_access(settings: KafkaSettings, rights: Iterable[Right]) -> None:
    """See to it that we have these rights, as far as Kafka tells: of topics that exist, and of groups.

    Nothing is asked in the clear, where Kafka does not know who we are.

    Raises
    ------
    AccessRefused
        Some are missing; the message names all of them.
    """
    if settings.security_protocol == "PLAINTEXT":
        return
    lacking = await missing(settings, rights)
    if lacking:
        raise AccessRefused(lacks(principal(settings), lacking, settings.bootstrap_servers))


async def explain(
    settings: KafkaSettings, error: BaseException, rights: Iterable[Right], *, others: bool = True
) -> None:
    """Return if this error may pass; otherwise say what Kafka refuses us.

    What is refused and is none of these rights may pass if not `others`.

    Raises
    ------
    AccessRefused
        The error is about our identity or our rights.
    """
    rights = tuple(rights)
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, AccessRefused):
            # To those who may not read a topic Kafka says that there is none: the right is what to ask for.
            await check_access(settings, rights)
            raise found
    refused = [found for found in chain if isinstance(found, REFUSALS)]
    if refused:
        lacking = await _lacking(settings, refused[0], rights)
        if lacking:
            raise AccessRefused(lacks(principal(settings), lacking, settings.bootstrap_servers)) from error
        if others:
            raise AccessRefused(refused_by(settings, refused[0])) from error
    if any(isinstance(found, KafkaConnectionError) for found in chain):
        turned_away = await refusal(settings)
        if turned_away is not None:
            raise turned_away from error


async def missing(settings: KafkaSettings, rights: Iterable[Right]) -> list[Right]:
    """Those of the rights on topics and groups that we lack, by what Kafka tells.

    It tells nothing of topics that do not exist, of transactional ids, and of names by their beginning;
    and brokers older than 2.3 tell nothing at all.
    """
    asked = [right for right in rights if right.resource != "transactional-id" and not right.prefixed]
    topics = sorted({right.name for right in asked if right.resource == "topic"})
    groups = sorted({right.name for right in asked if right.resource == "group"})
    try:
        async with admin(settings) as client:
            allowed: dict[tuple[Resource, str], int | None] = {}
            if topics:
                answer = await client._send_request(_TopicRights(topics))
                for code, name, _, _, operations in answer.topics:
                    allowed["topic", name] = _operations(code, operations)
            for group in groups:
                allowed["group", group] = await _of_group(client._client, group)
    except (IncompatibleBrokerVersion, NotImplementedError):
        return []
    return [
        right
        for right in asked
        if (operations := allowed[right.resource, right.name]) is not None
        and not operations >> _BITS[right.operation] & 1
    ]


def _operations(code: int, operations: int) -> int | None:
    """The bits of what is allowed; None if that can't be known."""
    if for_code(code) in _RESOURCES:
        return 0
    return None if code else operations


async def _of_group(client: Any, group: str) -> int | None:
    deadline = time.monotonic() + _COORDINATOR_SECONDS_MAX
    while True:
        try:
            node = await client.coordinator_lookup(CoordinationType.GROUP, group)
            answer = await client.send(node, _GroupRights([group]))
            [(code, *_, operations)] = answer.groups
            if for_code(code) not in _COORDINATOR_MOVES:
                return _operations(code, operations)
        except GroupAuthorizationFailedError:
            return 0
        except _COORDINATOR_MOVES:
            pass
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


_COORDINATOR_MOVES = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    NodeNotReadyError,
)


async def _lacking(settings: KafkaSettings, error: KafkaError, rights: tuple[Right, ...]) -> list[Right]:
    """What is missing by Kafka's word, or by that of the error where it tells nothing."""
    if isinstance(error, TransactionalIdAuthorizationFailed):
        return [right for right in rights if right.resource == "transactional-id"]
    try:
        return await missing(settings, rights)
    except (KafkaError, OSError):
        return []


def refused_by(settings: KafkaSettings, error: KafkaError) -> str:
    """The words for an error of Kafka about rights, when nothing more is known."""
    resource = _RESOURCES.get(type(error), "cluster")
    names = ", ".join(str(part) for part in error.args) or "whose name it does not tell"
    return (
        f"Kafka does not let {principal(settings)} use the {resource} {names} ({type(error).__name__}). "
        "`saga acls` prints what each part needs"
    )


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class _TopicRightsResponse(Response):
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("authorized_operations", Int32),
    )


class _TopicRightsRequest(RequestStruct):
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _TopicRightsResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _TopicRights(Request[_TopicRightsRequest]):
    """Metadata of topics, with what we may do to them."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_TopicRightsRequest]) -> _TopicRightsRequest:
        return request_struct_class(self._topics, False, False, True)


class _GroupRightsResponse(Response):
    API_KEY = 15
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group", String("utf-8")),
                ("state", String("utf-8")),
                ("protocol_type", String("utf-8")),
                ("protocol", String("utf-8")),
                (
                    "members",
                    Array(
                        ("member_id", String("utf-8")),
                        ("client_id", String("utf-8")),
                        ("client_host", String("utf-8")),
                        ("member_metadata", Bytes),
                        ("member_assignment", Bytes),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
    )


class _GroupRightsRequest(RequestStruct):
    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = _GroupRightsResponse
    SCHEMA = Schema(("groups", Array(String("utf-8"))), ("include_authorized_operations", Boolean))


class _GroupRights(Request[_GroupRightsRequest]):
    """A group as its coordinator knows it, with what we may do to it."""

    API_KEY = 15

    def __init__(self, groups: list[str]) -> None:
        self._groups = groups

    def build(self, request_struct_class: type[_GroupRightsRequest]) -> _GroupRightsRequest:
        return request_struct_class(self._groups, True)
