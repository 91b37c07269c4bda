"""The way of effects into Kafka: all of a commit at once, and one that is refused holds up no other."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple
from zlib import crc32

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
from saga.core.partition import key_partition
from saga.core.pause import PAUSED_TOPIC
from saga.runtime.kafka import PAUSED, AIOKafkaProducer, KafkaError, Topic, connection, ensure_topics, started
from saga.runtime.settings import KafkaSettings
from tracker.core.cloudevent import cloud_event, topic_of
from tracker.core.effect import (
    ALERTS_TOPIC,
    ANSWERS_TOPIC,
    LIFECYCLE_TOPIC,
    Alert,
    Announced,
    Effect,
    HandOn,
    Hold,
    Lifecycle,
    Publish,
    Reply,
)
from tracker.core.frame import STEPS_TOPIC
from tracker.runtime.handing import hand_on

logger = logging.getLogger(__name__)

OWN_TOPICS = frozenset({LIFECYCLE_TOPIC, ALERTS_TOPIC, ANSWERS_TOPIC, PAUSED_TOPIC})

RECORD_BYTES_MAX = 900_000
"""A larger record would be refused by brokers as they are set up by default."""

_BATCH_BYTES = 256 * 1024
_DELIVERY_SECONDS_MAX = 30.0
_BUSINESS_SECONDS_MAX = 5.0
_TOPIC_SECONDS_MAX = 5.0
_REST_SECONDS = 30.0
_LATE = "it takes no records at the moment; look after the leaders of its partitions and their replicas"
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


class _Refusal(NamedTuple):
    """An effect that is not delivered, to which topic, and why; `late`: Kafka may take it another time."""

    effect: Announced
    topic: str
    reason: str
    late: bool = False


class _Batch(NamedTuple):
    """Effects for one partition, and their record batch."""

    topic: str
    partition: int
    effects: list[Announced]
    records: Any


class Effects:
    """Sends effects and waits for their delivery. To be entered before use.

    It has a producer of its own: when Kafka refuses a batch for good, the numbers that make an
    idempotent producer exact have a hole, and everything behind it would be refused as well. So the
    producer is made anew then, and frames and the changelog have nothing to do with it. `refused`
    counts effects that were given up, by topic and kind.
    """

    def __init__(self, settings: KafkaSettings, refused: Counter[tuple[str, str]] | None = None) -> None:
        self._settings = settings
        self._made: set[str] = set()
        self._resting: dict[str, float] = {}  # business topics, and until when nothing is asked of them
        self.refused = Counter() if refused is None else refused

    async def __aenter__(self) -> "Effects":
        self._producer = await _started(self._settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _stopped(self._producer)

    async def send(self, effects: Sequence[Effect]) -> None:
        """Send them, those of one saga and topic in the order given; return when all are delivered.

        One that Kafka refuses for good is logged, counted and told as an alert, and then it is done. So is
        one for a business topic that Kafka does not take now: whoever decided it asks for it again when
        its answer does not come, and the other sagas go on.

        Raises
        ------
        NotDelivered, KafkaError
            Kafka did not take those for the tracker's own topics now, but may do so later. Some may have
            been written.
        """
        announced = [effect for effect in effects if not isinstance(effect, HandOn)]
        if len(announced) < len(effects):
            await self._hand_on(effect for effect in effects if isinstance(effect, HandOn))
        refused = await self._deliver(announced)
        # An alert that is refused raises no other: it would be refused as well.
        await self._deliver([_alert(refusal) for refusal in refused if not isinstance(refusal.effect, Alert)])

    async def _hand_on(self, handed: Iterable[HandOn]) -> None:
        try:
            async with asyncio.timeout(_DELIVERY_SECONDS_MAX):
                lost = await hand_on(self._producer, handed)
        except TimeoutError as error:
            raise _late([STEPS_TOPIC]) from error
        if lost:
            self.refused[STEPS_TOPIC, HandOn.__name__] += lost

    async def _deliver(self, effects: Sequence[Announced]) -> list[_Refusal]:
        """Send these; those that are refused for good are returned with the reason."""
        if not effects:
            return []
        partitions, impossible = await self._topics(effects)
        refused: list[_Refusal] = []
        batches = list(self._batches(effects, partitions, impossible, refused))
        broken = await self._sent(batches, refused)
        if broken:
            await self._renew()
            for batch in broken:
                refused += await self._parted(batch)
        for refusal in refused:
            self._tell(refusal)
        return refused

    async def _topics(self, effects: Iterable[Announced]) -> tuple[dict[str, int], dict[str, str]]:
        """How many partitions each topic has; and why, for each that takes nothing."""
        counts: dict[str, int] = {}
        impossible: dict[str, str] = {}
        for topic in {topic_of(effect) for effect in effects}:
            if time.monotonic() < self._resting.get(topic, 0):
                impossible[topic] = _LATE
                continue
            try:
                async with asyncio.timeout(_TOPIC_SECONDS_MAX):
                    if topic not in self._made:
                        await ensure_topics(
                            self._settings, [PAUSED if topic == PAUSED_TOPIC else Topic(topic)]
                        )
                        self._made.add(topic)
                    counts[topic] = len(await self._producer.partitions_for(topic))
            except (KafkaUnavailable, *_TOPIC_REFUSED) as error:
                impossible[topic] = str(error) or type(error).__name__
            except TimeoutError as error:
                if topic in OWN_TOPICS:
                    raise NotDelivered(
                        f"Kafka does not tell of the topic {topic}; look after the cluster"
                    ) from error
                self._rest(topic)
                impossible[topic] = _LATE
        return counts, impossible

    def _rest(self, topic: str) -> None:
        """Ask nothing of a business topic for a while: waiting for it holds up everything else."""
        self._resting[topic] = time.monotonic() + _REST_SECONDS

    def _batches(
        self,
        effects: Iterable[Announced],
        partitions: Mapping[str, int],
        impossible: Mapping[str, str],
        refused: list[_Refusal],
    ) -> Iterator[_Batch]:
        """The effects as record batches, for each partition in the order given.

        Those that are larger than a record may be, or go to an impossible topic, are added to `refused`.
        """
        under_way: dict[tuple[str, int], _Batch] = {}
        for effect in effects:
            topic, key, value, headers = cloud_event(effect)
            if topic in impossible:
                reason = impossible[topic]
                refused.append(_Refusal(effect, topic, reason, late=reason == _LATE))
                continue
            if value is not None and len(value) > RECORD_BYTES_MAX:
                reason = f"its {len(value)} bytes are more than {RECORD_BYTES_MAX}"
                refused.append(_Refusal(effect, topic, reason))
                continue
            place = topic, _partition(effect, key, partitions[topic])
            batch = under_way.get(place)
            if batch is None:
                batch = under_way[place] = self._batch(*place)
            if batch.records.append(timestamp=None, key=key, value=value, headers=headers) is None:
                yield batch
                batch = under_way[place] = self._batch(*place)
                batch.records.append(timestamp=None, key=key, value=value, headers=headers)
            batch.effects.append(effect)
        yield from under_way.values()

    def _batch(self, topic: str, partition: int) -> _Batch:
        return _Batch(topic, partition, [], self._producer.create_batch())

    async def _sent(self, batches: Sequence[_Batch], refused: list[_Refusal]) -> list[_Batch]:
        """Send these and wait for all; those that were refused for good, or came behind such a one.

        What a business topic does not take now is added to `refused`.

        Raises
        ------
        NotDelivered, KafkaError
            Kafka did not take some of the tracker's own now.
        """
        by_partition: dict[tuple[str, int], list[_Batch]] = {}
        for batch in batches:
            by_partition.setdefault((batch.topic, batch.partition), []).append(batch)
        answers = await asyncio.gather(*map(self._in_order, by_partition.values()))
        broken: list[_Batch] = []
        late: list[_Batch] = []
        for queue, outcomes in zip(by_partition.values(), answers, strict=True):
            hole = any(isinstance(outcome, _REFUSED) for outcome in outcomes)
            for batch, outcome in zip(queue, outcomes, strict=True):
                if isinstance(outcome, _REFUSED) or (hole and isinstance(outcome, OutOfOrderSequenceNumber)):
                    broken.append(batch)
                elif isinstance(outcome, BaseException) and batch.topic not in OWN_TOPICS:
                    late.append(batch)
                elif isinstance(outcome, TimeoutError):
                    raise _late([batch.topic]) from outcome
                elif isinstance(outcome, BaseException):
                    raise outcome
        for batch in late:
            self._rest(batch.topic)
            refused += [_Refusal(effect, batch.topic, _LATE, late=True) for effect in batch.effects]
        if late:
            await self._renew()  # or the old batches would stand before all that follows
        return broken

    async def _in_order(self, queue: Sequence[_Batch]) -> Sequence[object]:
        """What became of the batches of one partition, sent one behind the other."""
        own = queue[0].topic in OWN_TOPICS
        deliveries = []
        try:
            async with asyncio.timeout(_DELIVERY_SECONDS_MAX if own else _BUSINESS_SECONDS_MAX):
                for batch in queue:
                    deliveries.append(
                        await self._producer.send_batch(batch.records, batch.topic, partition=batch.partition)
                    )
                outcomes: list[object] = await asyncio.gather(*deliveries, return_exceptions=True)
                return outcomes
        except (TimeoutError, KafkaError) as error:
            return [error] * len(queue)

    async def _parted(self, batch: _Batch) -> list[_Refusal]:
        """Send the effects of a refused batch in ever smaller ones; those that are refused alone."""
        topic, partition = batch.topic, batch.partition
        refused: list[_Refusal] = []
        groups = [batch.effects]
        while groups:
            effects = groups.pop()
            again = self._batch(topic, partition)
            for effect in effects:
                _, key, value, headers = cloud_event(effect)
                again.records.append(timestamp=None, key=key, value=value, headers=headers)
            try:
                async with asyncio.timeout(_DELIVERY_SECONDS_MAX):
                    delivery = await self._producer.send_batch(again.records, topic, partition=partition)
                    await delivery
            except _REFUSED as error:
                await self._renew()
                if len(effects) == 1 or isinstance(error, _TOPIC_REFUSED):
                    refused += [_Refusal(effect, topic, type(error).__name__) for effect in effects]
                else:
                    middle = len(effects) // 2
                    groups += [effects[middle:], effects[:middle]]
            except TimeoutError as error:
                raise _late([batch.topic]) from error
        return refused

    async def _renew(self) -> None:
        await _stopped(self._producer)
        self._producer = await _started(self._settings)

    def _tell(self, refusal: _Refusal) -> None:
        effect, topic, reason, _ = refusal
        kind = type(effect).__name__
        self.refused[topic, kind] += 1
        logger.error("saga %s: Kafka refuses its %s to %s: %s", effect.saga, kind, topic, reason)


def _partition(effect: Announced, key: bytes, partitions: int) -> int:
    """For business topics the one that every client of Kafka gives this key; for ours, to which nobody
    else writes, a hash that costs next to nothing.
    """
    return key_partition(key, partitions) if isinstance(effect, Publish) else crc32(key) % partitions


def _alert(refusal: _Refusal) -> Alert:
    effect, topic, reason, late = refusal
    kind = effect.type if isinstance(effect, Publish) else type(effect).__name__.lower()
    again = (
        "An undo is asked for again when its `undo_within` is over"
        if late
        else "It is not sent again by itself"
    )
    of_flow = effect if isinstance(effect, Lifecycle | Alert) else None
    return Alert(
        derived_id(effect.id, "tracker.undeliverable", 0),
        effect.saga,
        "" if isinstance(effect, Reply | Hold) else effect.key,
        "" if of_flow is None else of_flow.flow,
        0 if of_flow is None else of_flow.flow_version,
        "undeliverable",
        effect.at_ms,
        f"Kafka refuses {kind} on the topic {topic}: {reason}. {again}",
        event=effect.id,
    )


def _late(topics: Iterable[str]) -> NotDelivered:
    names = ", ".join(sorted(topics))
    return NotDelivered(
        f"Kafka did not take effects for {names} within {_DELIVERY_SECONDS_MAX:g} s. Look after the leaders "
        "of their partitions; the tracker tries again"
    )


async def _started(settings: KafkaSettings) -> AIOKafkaProducer:
    return await started(
        AIOKafkaProducer(
            **connection(settings),
            enable_idempotence=True,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=15_000,
        )
    )


async def _stopped(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(TimeoutError, KafkaError):
        await asyncio.wait_for(producer.stop(), _STOP_SECONDS_MAX)
