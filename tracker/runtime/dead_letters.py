"""How many records stand on the dead-letter topics of the services, looked up now and then."""

import asyncio
import contextlib

from saga.core.delivery import DEAD_LETTERS_PREFIX
from saga.runtime.kafka import AIOKafkaConsumer, KafkaError, TopicPartition, partition_counts, reader
from saga.runtime.settings import KafkaSettings

_INTERVAL_SECONDS = 15.0


class DeadLetters:
    """Keeps `counts`, by topic, current as long as `run` does."""

    def __init__(self, settings: KafkaSettings, counts: dict[str, int]) -> None:
        self._settings = settings
        self._counts = counts

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again until told to stop."""
        async with reader(self._settings) as consumer:
            while not stop.is_set():
                with contextlib.suppress(KafkaError):  # the figure is old then, and others tell of Kafka
                    found = await counted(self._settings, consumer)
                    self._counts.clear()
                    self._counts.update(found)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _INTERVAL_SECONDS)


async def counted(settings: KafkaSettings, consumer: AIOKafkaConsumer) -> dict[str, int]:
    """Records that stand on each dead-letter topic."""
    topics = {topic for topic in await consumer.topics() if topic.startswith(DEAD_LETTERS_PREFIX)}
    counts = dict.fromkeys(sorted(topics), 0)
    if topics:
        many = await partition_counts(settings, topics)
        partitions = [TopicPartition(topic, number) for topic in many for number in range(many[topic])]
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            counts[partition.topic] += ends[partition] - begins[partition]
    return counts
