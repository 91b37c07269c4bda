"""The layer that makes rows survive the loss of the disk: a compacted topic of the same rows."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from saga.runtime.kafka import AIOKafkaProducer

Rows = Mapping[bytes, bytes]


class Changelog:
    """Appends rows to the changelog topic; partition n of it belongs to partition n of the table."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def append(self, rows: Mapping[int, Rows]) -> dict[int, int]:
        """Append the rows of several partitions; return once all are delivered, or one has failed for good.

        Returns the offset of the last record of each partition that got any.

        Raises
        ------
        KafkaError
            Kafka did not take all of them. Some may have been written.
        """
        partitions = [partition for partition, its_rows in rows.items() if its_rows]
        outcomes = await asyncio.gather(
            *(self._append(partition, rows[partition]) for partition in partitions), return_exceptions=True
        )
        offsets = {}
        for partition, outcome in zip(partitions, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            offsets[partition] = outcome
        return offsets

    async def _append(self, partition: int, rows: Rows) -> int:
        sent = []
        for batch in self._batches(rows):
            count = batch.record_count()
            sent.append((await self._producer.send_batch(batch, self._topic, partition=partition), count))
        last = -1
        for delivery, count in sent:
            last = (await delivery).offset + count - 1
        return last

    def _batches(self, rows: Rows) -> Iterator[Any]:
        batch = self._producer.create_batch()
        for key, value in rows.items():
            if batch.append(key=key, value=value, timestamp=None) is None:
                yield batch
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        yield batch
