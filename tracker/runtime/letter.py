"""One letter, and what an operator does about it: an edit, or that it is discarded."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from msgspec import structs

from saga.core.errors import SagaError
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    TopicPartition,
    partition_counts,
    reader,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.dead_letter import Place
from tracker.core.redrive import STAYS, Treatment, digest, edit, state, with_edit
from tracker.runtime.redrive_ledger import Ledger, Written

EDIT_BYTES_MAX = 900_000
"""As large as an event may be by default (SAGA_EVENT_BYTES_MAX)."""

_LETTER_SECONDS_MAX = 15.0


class RedriveRefused(SagaError):
    """The letters can't be redriven, edited or discarded. The message says why, and what to do."""


async def edit_letter(
    settings: KafkaSettings, letter: Place, payload: bytes, by: str, reason: str
) -> Treatment:
    """Put another payload in the place of the letter's, with which it is redriven then.

    Raises
    ------
    UnusableEdit
        The payload is no JSON, or too large.
    RedriveRefused
        There is no such letter, or it has been redriven.
    """
    edited = edit(payload, EDIT_BYTES_MAX)
    wanted = Treatment(str(letter), "edited", by, reason, _now_ms(), payload=edited, edited_by=by)
    return await _treat(settings, letter, wanted)


async def discard_letter(settings: KafkaSettings, letter: Place, by: str, reason: str) -> Treatment:
    """Say that the letter is not to be redriven. It stays where it is; who names it can still redrive it.

    Raises
    ------
    RedriveRefused
        There is no such letter, or it has been redriven.
    """
    return await _treat(settings, letter, Treatment(str(letter), "discarded", by, reason, _now_ms()))


async def _treat(settings: KafkaSettings, letter: Place, wanted: Treatment) -> Treatment:
    async with letters_of(settings, letter.topic) as (letters, _), Ledger(settings, letter.topic) as ledger:
        published = digest((await record_at(letters, letter)).value)

        def work() -> Written:
            before = ledger.treatments.get(wanted.letter)
            stands = state(before, ())
            if stands not in STAYS:
                raise RedriveRefused(f"{letter} can't be {wanted.outcome}: it is {stands} already")
            if wanted.payload:
                return [], [structs.replace(wanted, original_sha256=published)]
            return [], [wanted if before is None else with_edit(wanted, before)]

        [treatment] = await ledger.commit(work)
        return treatment


@contextlib.asynccontextmanager
async def letters_of(
    settings: KafkaSettings, topic: str
) -> AsyncIterator[tuple[AIOKafkaConsumer, dict[TopicPartition, int]]]:
    """A consumer at the beginning of a dead-letter topic, and where the topic ends now."""
    count = (await partition_counts(settings, [topic])).get(topic, 0)
    if not count:
        raise RedriveRefused(f"there is no topic {topic}: `saga dlq list` shows those with dead letters")
    async with reader(settings, isolation_level="read_committed") as consumer:
        partitions = [TopicPartition(topic, partition) for partition in range(count)]
        consumer.assign(partitions)
        yield consumer, await consumer.end_offsets(partitions)


async def record_at(consumer: AIOKafkaConsumer, place: Place) -> ConsumerRecord:
    """The record that stands exactly there."""
    source = TopicPartition(place.topic, place.partition)
    if source in consumer.assignment():
        begin = (await consumer.beginning_offsets([source]))[source]
        end = (await consumer.end_offsets([source]))[source]
        if begin <= place.offset < end:
            consumer.seek(source, place.offset)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LETTER_SECONDS_MAX):
                    record: ConsumerRecord = await consumer.getone(source)
                if record.offset == place.offset:
                    return record
    raise RedriveRefused(f"no letter stands at {place}: Kafka may have removed it")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
