"""The way of effects into Kafka: all of a commit at once, and one that is refused holds up no other."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from aiokafka.errors import (
    InvalidTimestampError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedForMessageFormatError,
)

from saga.core.errors import KafkaUnavailable, SagaError
from saga.core.ids import derived_id
from saga.core.outcome import Output
from saga.core.partition import key_partition
from saga.runtime.kafka import AIOKafkaProducer, KafkaError, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tracker.core.cloudevent import cloud_event
from tracker.core.effect import Alert, Effect, Publish, Reply

logger = logging.getLogger(__name__)

RECORD_BYTES_MAX = 900_000
"""A larger record would be refused by brokers as they are set up by default."""

_BATCH_BYTES = 256 * 1024
_DELIVERY_SECONDS_MAX = 30.0
_TOPIC_SECONDS_MAX = 10.0
_STOP_SECONDS_MAX = 2.0

_TOPIC_REFUSED = (TopicAuthorizationFailedError, InvalidTopicError)
"""Whatever is sent there is refused, and so are all other records of a batch."""

_RECORD_REFUSED = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
    PolicyViolationError,
    UnsupportedForMessageFormatError,
)
"""One record of the batch is refused, or all of them together are too many."""

_REFUSED = (*_TOPIC_REFUSED, *_RECORD_REFUSED)


class NotDelivered(SagaError):
    """Kafka has not taken effects in time. They are made again from the frames that are not committed."""


class _Letter(NamedTuple):
    """An effect and the record that it becomes."""

    effect: Effect
    record: Output


_Refusal = tuple[_Letter, str]
"""A letter that can't be delivered, and why."""


class _Batch(NamedTuple):
    """Letters to one partition, and their record batch."""

    topic: str
    partition: int
    letters: list[_Letter]
    records: Any


class Effects:
    """Sends effects and waits for their delivery. To be entered before use.

    It has a producer of its own: when Kafka refuses a batch for good, the numbers that make an
    idempotent producer exact have a hole, and everything behind it would be refused as well. So the
    producer is made anew then, and frames and the changelog have nothing to do with it. `refused`
    counts effects that were given up, by topic and kind.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._made: set[str] = set()
        self.refused: Counter[tuple[str, str]] = Counter()

    async def __aenter__(self) -> "Effects":
        self._producer = await _started(self._settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _stopped(self._producer)

    async def send(self, effects: Sequence[Effect]) -> None:
        """Send them, those of one saga and topic in the order given; return when all are delivered.

        One that Kafka refuses for good is logged, counted and told as an alert, and then it is done.

        Raises
        ------
        NotDelivered, KafkaError
            Kafka did not take all of them now, but may do so later. Some may have been written.
        """
        refused = await self._deliver([_Letter(effect, cloud_event(effect)) for effect in effects])
        # An alert that is refused raises no other: it would be refused as well.
        alerts = [_alert(*refusal) for refusal in refused if not isinstance(refusal[0].effect, Alert)]
        await self._deliver([_Letter(alert, cloud_event(alert)) for alert in alerts])

    async def _deliver(self, letters: Sequence[_Letter]) -> list[_Refusal]:
        """Send these; those that are refused for good are returned with the reason."""
        if not letters:
            return []
        partitions, refused = await self._addressed(letters)
        batches = list(self._batches(letters, partitions, refused))
        broken = await self._sent(batches)
        if broken:
            await self._renew()
            for batch in broken:
                refused += await self._parted(batch)
        for letter, reason in refused:
            self._tell(letter, reason)
        return refused

    async def _addressed(self, letters: Iterable[_Letter]) -> tuple[dict[str, int], list[_Refusal]]:
        """The partitions of each topic, and the letters to topics that there can't be."""
        counts: dict[str, int] = {}
        impossible: dict[str, str] = {}
        for topic in {letter.record.topic for letter in letters}:
            try:
                async with asyncio.timeout(_TOPIC_SECONDS_MAX):
                    if topic not in self._made:
                        await ensure_topics(self._settings, [Topic(topic)])
                        self._made.add(topic)
                    counts[topic] = len(await self._producer.partitions_for(topic))
            except (KafkaUnavailable, *_TOPIC_REFUSED) as error:
                impossible[topic] = str(error) or type(error).__name__
            except TimeoutError as error:
                raise NotDelivered(
                    f"Kafka does not tell of the topic {topic}; look after the cluster"
                ) from error
        refused = [
            (letter, impossible[letter.record.topic])
            for letter in letters
            if letter.record.topic in impossible
        ]
        return counts, refused

    def _batches(
        self, letters: Iterable[_Letter], partitions: Mapping[str, int], refused: list[_Refusal]
    ) -> Iterator[_Batch]:
        """The letters to these topics as record batches, for each partition in the order given.

        Those that are larger than a record may be are added to `refused`.
        """
        under_way: dict[tuple[str, int], _Batch] = {}
        for letter in letters:
            topic, key, value, headers = letter.record
            count = partitions.get(topic)
            if count is None:
                continue  # there can't be such a topic
            if len(value or b"") > RECORD_BYTES_MAX:
                refused.append((letter, f"its {len(value or b'')} bytes are more than {RECORD_BYTES_MAX}"))
                continue
            place = topic, key_partition(key or b"", count)
            batch = under_way.get(place)
            if batch is None:
                batch = under_way[place] = self._batch(*place)
            if batch.records.append(timestamp=None, key=key, value=value, headers=headers) is None:
                yield batch
                batch = under_way[place] = self._batch(*place)
                batch.records.append(timestamp=None, key=key, value=value, headers=headers)
            batch.letters.append(letter)
        yield from under_way.values()

    def _batch(self, topic: str, partition: int) -> _Batch:
        return _Batch(topic, partition, [], self._producer.create_batch())

    async def _sent(self, batches: Sequence[_Batch]) -> list[_Batch]:
        """Send these and wait for all; those that were refused for good, or came behind such a one.

        Raises
        ------
        NotDelivered, KafkaError
            Kafka did not take some of them now.
        """
        deliveries = []
        try:
            async with asyncio.timeout(_DELIVERY_SECONDS_MAX):
                for batch in batches:
                    deliveries.append(
                        await self._producer.send_batch(batch.records, batch.topic, partition=batch.partition)
                    )
                outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
        except TimeoutError as error:
            raise _late(batches) from error
        told = list(zip(batches, outcomes, strict=True))
        broken = [batch for batch, outcome in told if isinstance(outcome, _REFUSED)]
        holes = {(batch.topic, batch.partition) for batch in broken}
        for batch, outcome in told:
            if isinstance(outcome, OutOfOrderSequenceNumber) and (batch.topic, batch.partition) in holes:
                broken.append(batch)
            elif isinstance(outcome, BaseException) and not isinstance(outcome, _REFUSED):
                raise outcome
        return broken

    async def _parted(self, batch: _Batch) -> list[_Refusal]:
        """Send the letters of a refused batch in ever smaller ones; those that are refused alone."""
        refused: list[_Refusal] = []
        groups = [batch.letters]
        while groups:
            letters = groups.pop()
            again = self._batch(batch.topic, batch.partition)
            for letter in letters:
                _, key, value, headers = letter.record
                again.records.append(timestamp=None, key=key, value=value, headers=headers)
            try:
                async with asyncio.timeout(_DELIVERY_SECONDS_MAX):
                    await (
                        await self._producer.send_batch(again.records, batch.topic, partition=batch.partition)
                    )
            except _REFUSED as error:
                await self._renew()
                if len(letters) == 1 or isinstance(error, _TOPIC_REFUSED):
                    refused += [(letter, type(error).__name__) for letter in letters]
                else:
                    middle = len(letters) // 2
                    groups += [letters[middle:], letters[:middle]]
            except TimeoutError as error:
                raise _late([batch]) from error
        return refused

    async def _renew(self) -> None:
        await _stopped(self._producer)
        self._producer = await _started(self._settings)

    def _tell(self, letter: _Letter, reason: str) -> None:
        topic, kind = letter.record.topic, type(letter.effect).__name__
        self.refused[topic, kind] += 1
        logger.error("saga %s: Kafka refuses its %s to %s: %s", letter.effect.saga, kind, topic, reason)


def _alert(letter: _Letter, reason: str) -> Alert:
    effect, topic = letter.effect, letter.record.topic
    kind = effect.type if isinstance(effect, Publish) else type(effect).__name__.lower()
    return Alert(
        derived_id(effect.id, "tracker.undeliverable", 0),
        effect.saga,
        "" if isinstance(effect, Reply) else effect.key,
        "" if isinstance(effect, Publish | Reply) else effect.flow,
        0 if isinstance(effect, Publish | Reply) else effect.flow_version,
        "undeliverable",
        effect.at_ms,
        f"Kafka refuses {kind} on the topic {topic}: {reason}. It is not sent again by itself",
        event=effect.id,
    )


def _late(batches: Iterable[_Batch]) -> NotDelivered:
    topics = ", ".join(sorted({batch.topic for batch in batches}))
    return NotDelivered(
        f"Kafka did not take effects for {topics} within {_DELIVERY_SECONDS_MAX:g} s. Look after the leaders "
        "of their partitions; the tracker tries again"
    )


async def _started(settings: KafkaSettings) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        enable_idempotence=True,
        acks="all",
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=15_000,
    )
    await producer.start()
    return producer


async def _stopped(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(TimeoutError, KafkaError):
        await asyncio.wait_for(producer.stop(), _STOP_SECONDS_MAX)
