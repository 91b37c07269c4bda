"""Dead letters as they stand in Kafka, with what was done about each."""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from msgspec import structs

from saga.core.delivery import DEAD_LETTERS_PREFIX
from saga.core.errors import SagaError
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    TopicPartition,
    partition_counts,
    reader,
    records_before,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.dead_letter import Headers, Letter, Place, read_letter
from tracker.core.redrive import REDRIVES_TOPIC, State, Treatment, read_treatment, state
from tracker.view.changelog import read_compacted

_READ_SECONDS_MAX = 15.0


class NoSuchLetter(SagaError):
    """There is no dead letter there. The message says where."""


class Standing(NamedTuple):
    """A letter, where it stands, and what was done about it last."""

    letter: Letter
    state: State
    treatment: Treatment | None


class Whole(NamedTuple):
    """A letter with all that its record holds."""

    standing: Standing
    key: bytes | None
    value: bytes | None
    headers: Headers


class Letters(NamedTuple):
    """What was read; `missing` are topics that do not exist."""

    found: list[Standing]
    topics: tuple[str, ...]
    missing: tuple[str, ...]


async def read_letters(settings: KafkaSettings, topics: Collection[str] = ()) -> Letters:
    """The letters of these topics, oldest first; without any of all `saga.dlq.*`. Without their stacks."""
    treatments = await read_treatments(settings)
    async with reader(settings, isolation_level="read_committed") as consumer:
        existing = await consumer.topics()
        wanted = set(topics) or {topic for topic in existing if topic.startswith(DEAD_LETTERS_PREFIX)}
        chosen = tuple(sorted(wanted & set(existing)))
        letters = await _letters(settings, consumer, chosen) if chosen else []
    again = {str(letter.original) for letter in letters if letter.original.whole}
    found = []
    for letter in letters:
        treatment = treatments.get(str(letter.at))
        found.append(Standing(letter, state(treatment, again), treatment))
    return Letters(found, chosen, tuple(sorted(wanted.difference(existing))))


async def read_whole_letter(settings: KafkaSettings, at: Place) -> Whole:
    """One letter. That it failed again is told only if the redrive heard of it; `read_letters` always knows.

    Raises
    ------
    NoSuchLetter
        There is none.
    """
    treatment = (await read_treatments(settings)).get(str(at))
    source = TopicPartition(at.topic, at.partition)
    if at.partition < (await partition_counts(settings, [at.topic])).get(at.topic, 0):
        async with reader(settings, isolation_level="read_committed") as consumer:
            consumer.assign([source])
            begin = (await consumer.beginning_offsets([source]))[source]
            if begin <= at.offset < (await consumer.end_offsets([source]))[source]:
                consumer.seek(source, at.offset)
                record = await asyncio.wait_for(consumer.getone(source), _READ_SECONDS_MAX)
                if record.offset == at.offset:
                    letter = read_letter(record.headers, at, record.timestamp)
                    standing = Standing(letter, state(treatment, ()), treatment)
                    return Whole(standing, record.key, record.value, record.headers)
    raise NoSuchLetter(f"no letter stands at {at}: `saga dlq list --letters` shows those that do")


async def read_treatments(settings: KafkaSettings) -> dict[str, Treatment]:
    """What was done last about each letter, by its place."""
    found = {}
    for key, value in (await read_compacted(settings, REDRIVES_TOPIC)).items():
        treatment = read_treatment(value)
        if treatment is not None:
            found[key.decode(errors="replace")] = treatment
    return found


async def _letters(
    settings: KafkaSettings, consumer: AIOKafkaConsumer, topics: Collection[str]
) -> list[Letter]:
    counts = await partition_counts(settings, topics)
    partitions = [TopicPartition(topic, n) for topic, count in counts.items() for n in range(count)]
    consumer.assign(partitions)
    found: list[Letter] = []
    async for source, records in records_before(consumer, await consumer.end_offsets(partitions)):
        for record in records:
            at = Place(source.topic, source.partition, record.offset)
            letter = read_letter(record.headers, at, record.timestamp)
            found.append(structs.replace(letter, stack=""))
    return sorted(found, key=lambda letter: (letter.at_ms, letter.at))
