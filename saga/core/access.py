"""What a client must be allowed to do in Kafka, and the commands that allow it.

Kafka takes Describe for granted where Read or Write is allowed, and lets a producer be idempotent that may
write to any topic.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from shlex import quote
from typing import Literal

from saga.core.delivery import dead_letter_topic, retry_topic
from saga.core.pause import PAUSED_TOPIC, parked_topic
from saga.core.receipt import RECEIPTS_TOPIC, SERVICES_TOPIC
from saga.core.service import Service

Resource = Literal["topic", "group", "transactional-id"]
Operation = Literal["Read", "Write", "Create", "Describe"]


@dataclass(frozen=True, order=True)
class Right:
    """One operation on one resource; `prefixed`: on all whose names begin like this."""

    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False


def read_topics(service: Service) -> tuple[str, ...]:
    """The topics that a service reads: those of its events, and its own retries."""
    tiers = {tier for handler in service.handlers.values() for tier in handler.retry.tiers_ms}
    return (*sorted(service.topics), *(retry_topic(service.name, tier) for tier in sorted(tiers)))


def published_topics(service: Service) -> tuple[str, ...]:
    """The business topics that a service publishes to."""
    models = {model for handler in service.handlers.values() for model in handler.publishes}
    return tuple(sorted({model.declared.topic for model in models | service.publishes}))


def service_rights(service: Service) -> tuple[Right, ...]:
    """The least that a service needs, if its topics exist."""
    retries = [topic for topic in read_topics(service) if topic not in service.topics]
    parked = parked_topic(service.name)
    own = [dead_letter_topic(service.name), RECEIPTS_TOPIC, parked] if service.handlers else []
    return (
        *(Right("topic", topic, "Read") for topic in read_topics(service)),
        *(Right("topic", topic, "Read") for topic in ([PAUSED_TOPIC, parked] if service.handlers else [])),
        *(
            Right("topic", topic, "Write")
            for topic in (*published_topics(service), *retries, *own, SERVICES_TOPIC)
        ),
        *([Right("group", service.name, "Read")] if service.handlers else []),
        *(
            [Right("transactional-id", transactional_ids(service), "Write", prefixed=True)]
            if service.handlers and service.guarantee == "exactly-once"
            else []
        ),
    )


def transactional_ids(service: Service) -> str:
    """What the transactional ids of all instances of a service begin with."""
    return f"saga-{service.name}-"


def creations(rights: Iterable[Right]) -> tuple[Right, ...]:
    """What is needed as well where these topics do not exist yet, and nobody else makes them."""
    topics = dict.fromkeys((right.name, right.prefixed) for right in rights if right.resource == "topic")
    return tuple(Right("topic", name, "Create", prefixed) for name, prefixed in topics)


def grants(rights: Iterable[Right], principal: str, bootstrap_servers: str) -> list[str]:
    """The `kafka-acls.sh` commands that give these rights: one for all resources of a kind and operation."""
    together: dict[tuple[Resource, bool, frozenset[Operation]], list[str]] = {}
    for (resource, name, prefixed), operations in _by_resource(rights).items():
        together.setdefault((resource, prefixed, frozenset(operations)), []).append(name)
    return [
        " ".join(
            [
                f"kafka-acls.sh --bootstrap-server {bootstrap_servers} --add",
                f"--allow-principal {quote(principal)}",
                *(f"--operation {operation}" for operation in sorted(operations)),
                *(f"--{resource} {name}" for name in names),
                *(["--resource-pattern-type prefixed"] if prefixed else []),
            ]
        )
        for (resource, prefixed, operations), names in together.items()
    ]


def _by_resource(rights: Iterable[Right]) -> dict[tuple[Resource, str, bool], list[Operation]]:
    found: dict[tuple[Resource, str, bool], list[Operation]] = {}
    for right in rights:
        operations = found.setdefault((right.resource, right.name, right.prefixed), [])
        if right.operation not in operations:
            operations.append(right.operation)
    return found


def lacks(principal: str, lacking: Collection[Right], bootstrap_servers: str) -> str:
    """The one line for somebody who lacks these rights."""
    return (
        f"{principal} lacks {_told(lacking)}. Who administers Kafka grants it with: "
        f"{' && '.join(grants(lacking, principal, bootstrap_servers))}"
    )


def _told(rights: Iterable[Right]) -> str:
    """The rights in words, those of one kind together: Write on the topics a, b; Read on the group c."""
    together: dict[tuple[Operation, Resource, bool], list[str]] = {}
    for right in rights:
        together.setdefault((right.operation, right.resource, right.prefixed), []).append(right.name)
    return "; ".join(
        f"{operation} on the {resource}{'s' if len(names) > 1 else ''} "
        f"{', '.join(f'{name}*' if prefixed else name for name in names)}"
        for (operation, resource, prefixed), names in together.items()
    )
