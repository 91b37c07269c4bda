"""A stream of orders, and of a few records that are none."""

import asyncio
from random import Random

from saga import KafkaSettings, Publisher
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
    connection,
    partition_counts,
)
from schemas.orders import OrderPlaced
from services.demo.mix import MALFORMED_PERCENT, malformed, order
from services.orders.handlers import orders

_TICK_SECONDS = 0.05
_FIRST_NUMBER = 1001
_TOPIC = OrderPlaced.declared.topic


class Generator:
    """Publishes `rate` orders a second until cancelled; counts what it has published."""

    def __init__(self, settings: KafkaSettings, rate: float) -> None:
        self._settings = settings
        self._rate = rate
        self._dice = Random()
        self.first = _FIRST_NUMBER
        self.orders = 0
        self.malformed = 0

    async def run(self) -> None:
        self.first += await _records(self._settings)
        loop = asyncio.get_running_loop()
        async with (
            Publisher(orders, self._settings) as publisher,
            AIOKafkaProducer(**connection(self._settings)) as producer,
        ):
            began = loop.time()
            while True:
                # So many that the rate is kept however long Kafka took for the last ones.
                due = int((loop.time() - began) * self._rate) - self.orders
                batch = [order(self.first + self.orders + index, self._dice) for index in range(due)]
                self.orders += due
                await publisher.publish_all(batch)
                for _ in batch:
                    if self._dice.uniform(0, 100) < MALFORMED_PERCENT:
                        await self._publish_malformed(producer)
                await asyncio.sleep(_TICK_SECONDS)

    async def _publish_malformed(self, producer: AIOKafkaProducer) -> None:
        record = malformed(self._dice)
        await producer.send_and_wait(_TOPIC, record.value, headers=list(record.headers))
        self.malformed += 1


async def _records(settings: KafkaSettings) -> int:
    """How many records were ever written to the topic: numbers of orders go on behind them."""
    counts = await partition_counts(settings, [_TOPIC])
    partitions = [TopicPartition(_TOPIC, number) for number in range(counts.get(_TOPIC, 0))]
    async with AIOKafkaConsumer(**connection(settings)) as consumer:
        return sum((await consumer.end_offsets(partitions)).values())
