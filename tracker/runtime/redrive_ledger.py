"""What was done about the letters of a dead-letter topic: read and written on `saga.redrives`.

What is redriven and the record of it are one Kafka transaction. Its id is that of the dead-letter topic,
so that Kafka lets one process at a time write about its letters: whoever begins ends the transaction of
the one before, and then reads what that has done.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from msgspec import structs

from saga.runtime.fencing import FencedProducer
from saga.runtime.kafka import (
    KafkaError,
    Topic,
    TopicPartition,
    connection,
    ensure_topics,
    reader,
    records_before,
    started,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.dead_letter import Place
from tracker.core.redrive import REDRIVES_TOPIC, Redriven, Treatment, encode_treatment, read_treatment

TOO_LARGE = MessageSizeTooLargeError, RecordListTooLargeError

_REQUEST_BYTES_MAX = 16 * 1024 * 1024
_TRANSACTION_MS = 30_000
_ATTEMPTS = 6
_AGAIN_SECONDS = 0.5

Written = tuple[Sequence[tuple[Redriven, Treatment]], Sequence[Treatment]]
"""Records and what is to be kept of each, and what is to be kept of letters that stay."""
Work = Callable[[], Written]


REDRIVE_TRANSACTIONS = "saga-redrive-"
"""What the transactional ids of redrives begin with; a topic of dead letters follows."""


class Ledger:
    """What was done about the letters of one topic, by letter. Written in transactions, by one at a time."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._position = 0
        self._begun = False
        self._producer: FencedProducer | None = None
        self.treatments: dict[str, Treatment] = {}
        self.later: dict[str, Treatment] = {}
        """By redrive a letter that it moved, read since we began: so others beside us are known."""

    async def __aenter__(self) -> "Ledger":
        await ensure_topics(
            self._settings, [Topic(REDRIVES_TOPIC, partitions=1, config={"cleanup.policy": "compact"})]
        )
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def commit(self, work: Work) -> list[Treatment]:
        """Write records and what is to be kept of each, and what is to be kept of others: all or nothing.

        Where Kafka fails, or somebody else has begun to write, `work` is asked again: by then the
        treatments tell what is done already.

        Returns what is kept now, with the places of the records.

        Raises
        ------
        MessageSizeTooLargeError, RecordListTooLargeError
            One of the records is larger than its topic allows. Nothing is written.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                if self._producer is None:
                    await self._begin()
                moved, others = work()
                done = await self._write(moved, others) if moved or others else []
            except TOO_LARGE:
                await self._drop()
                raise
            except KafkaError:
                # Fenced by another, aborted, or who knows: a new producer ends it, and reading tells.
                await self._drop()
                if attempt >= _ATTEMPTS:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self.treatments.update((treatment.letter, treatment) for treatment in done)
                return done

    async def _begin(self) -> None:
        producer = FencedProducer(
            **connection(self._settings),
            transactional_id=f"{REDRIVE_TRANSACTIONS}{self._topic}",
            transaction_timeout_ms=_TRANSACTION_MS,
            max_request_size=_REQUEST_BYTES_MAX,
        )
        await started(producer)
        self._producer = producer
        try:
            await self._read()
        except BaseException:
            await self._drop()
            raise
        self._begun = True

    async def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _write(
        self, moved: Sequence[tuple[Redriven, Treatment]], others: Iterable[Treatment]
    ) -> list[Treatment]:
        producer = self._producer
        assert producer is not None
        await producer.begin_transaction()
        try:
            sent = [await self._send(record) for record, _ in moved]
            done = [
                structs.replace(treatment, to=str(Place(record.topic, place.partition, place.offset)))
                for (record, treatment), place in zip(moved, await asyncio.gather(*sent), strict=True)
            ]
            done.extend(others)
            written = [
                await producer.send(
                    REDRIVES_TOPIC, encode_treatment(each), key=each.letter.encode(), partition=0
                )
                for each in done
            ]
            await asyncio.gather(*written)
        except KafkaError:
            raise  # the producer is of no more use: the next one ends its transaction
        except BaseException:
            await producer.abort_transaction()
            raise
        await producer.commit_transaction()
        return done

    async def _send(self, record: Redriven) -> "asyncio.Future[Any]":
        producer = self._producer
        assert producer is not None
        known = 0 <= record.partition < len(await producer.partitions_for(record.topic))
        future: asyncio.Future[Any] = await producer.send(
            record.topic,
            record.value,
            key=record.key,
            partition=record.partition if known else None,
            headers=record.headers,
        )
        future.add_done_callback(_seen)  # the first one that fails is told, whatever becomes of the others
        return future

    async def _read(self) -> None:
        """Go on reading to the end, which no older producer moves any more."""
        source = TopicPartition(REDRIVES_TOPIC, 0)
        prefix = f"{self._topic}/".encode()
        async with reader(self._settings, isolation_level="read_committed") as consumer:
            consumer.assign([source])
            consumer.seek(source, max(self._position, (await consumer.beginning_offsets([source]))[source]))
            async for _, records in records_before(consumer, await consumer.end_offsets([source])):
                for record in records:
                    self._position = record.offset + 1
                    key = record.key or b""
                    if not key.startswith(prefix):
                        continue
                    treatment = read_treatment(record.value)
                    if treatment is not None:
                        self.treatments[key.decode(errors="replace")] = treatment
                        if self._begun and treatment.outcome in ("redriven", "parked"):
                            self.later[treatment.batch] = treatment
                    elif record.value is None:
                        self.treatments.pop(key.decode(errors="replace"), None)


def _seen(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()
