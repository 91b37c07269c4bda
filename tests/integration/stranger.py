"""A member of a consumer group with whom nobody of ours can be in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor


@asynccontextmanager
async def stranger(bootstrap_servers: str, group: str, topic: str) -> AsyncIterator[None]:
    """As long as it is there, Kafka answers those who want to join with INCONSISTENT_GROUP_PROTOCOL."""
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        partition_assignment_strategy=[RangePartitionAssignor],
    ):
        yield
