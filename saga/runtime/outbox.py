"""What a micro-batch writes to Kafka: one record batch per partition instead of one send per record."""

import asyncio
from collections.abc import Iterable
from itertools import count
from typing import Any

from saga.core.outcome import Output
from saga.core.partition import key_partition
from saga.runtime.kafka import AIOKafkaProducer


class Outbox:
    """Packs outputs into record batches by partition and hands them to a producer."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._keyless = count()

    async def send(self, outputs: Iterable[Output]) -> list[asyncio.Future[Any]]:
        """Hand all outputs to the producer, each topic and partition in the order given.

        Returns futures, one a record batch, that end when Kafka has it or raise what it answered.
        """
        open_batches: dict[tuple[str, int], Any] = {}
        partitions: dict[str, int] = {}
        sent: list[asyncio.Future[Any]] = []
        for topic, key, value, headers in outputs:
            of_topic = partitions.get(topic)
            if of_topic is None:
                of_topic = partitions[topic] = len(await self._producer.partitions_for(topic))
            partition = next(self._keyless) % of_topic if key is None else key_partition(key, of_topic)
            batch = open_batches.get((topic, partition))
            if batch is None:
                batch = open_batches[topic, partition] = self._producer.create_batch()
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                sent.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = open_batches[topic, partition] = self._producer.create_batch()
                batch.append(timestamp=None, key=key, value=value, headers=headers)
        for (topic, partition), batch in open_batches.items():
            sent.append(await self._producer.send_batch(batch, topic, partition=partition))
        return sent
