"""Read what the tracker and the services keep in Kafka: the saga table and who is subscribed."""

import contextlib
from collections.abc import AsyncIterator, Collection, Iterable

from msgspec import DecodeError, Struct, json

from saga.core.receipt import SERVICES_TOPIC, ServiceAnnouncement
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    TopicPartition,
    partition_counts,
    reader,
    records_before,
)
from saga.runtime.settings import KafkaSettings
from tracker.core.clock import CLOCK_ROW
from tracker.core.errors import NothingTracked
from tracker.core.frame import saga_partition
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.core.subscriptions import Subscriptions

_CLOCK = CLOCK_ROW.encode()
_FETCH_BYTES_MAX = 4_000_000
_OTHERS_MAX = 2_000


class Change(Struct, frozen=True, gc=False):
    """A saga was written at this time, milliseconds since the epoch; `value` None: removed."""

    saga: str
    value: bytes | None
    at_ms: int


class Changelog:
    """The saga table from its beginning on; made by `open_changelog`."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions

    async def to_end(self) -> AsyncIterator[list[Change]]:
        """Batches of changes, up to what was the end when this was called."""
        async for records in _to_end(self._consumer, self._partitions):
            yield _changes(records)

    async def more(self, within_ms: int) -> list[Change]:
        """Changes that came since; waits for the first one no longer than so many milliseconds."""
        batches = await self._consumer.getmany(timeout_ms=within_ms)
        return [change for records in batches.values() for change in _changes(records)]


@contextlib.asynccontextmanager
async def open_changelog(
    settings: KafkaSettings, sagas: Collection[str] | None = None
) -> AsyncIterator[Changelog]:
    """The changelog of the saga table; with ids only the partitions that hold these sagas.

    Raises
    ------
    NothingTracked
        There is no such topic.
    """
    partitions = await _partitions(settings, SAGAS_CHANGELOG_TOPIC, sagas)
    if not partitions:
        raise NothingTracked(f"no topic {SAGAS_CHANGELOG_TOPIC}: start the tracker with `saga track`")
    async with _consumer(settings, partitions) as consumer:
        yield Changelog(consumer, partitions)


async def read_saga(settings: KafkaSettings, saga_id: str) -> tuple[bytes | None, list[bytes]]:
    """The bytes of one saga, None when there is none of exactly this id, and of others beside it.

    Those are the last that were written of the same partition, `_OTHERS_MAX` at most: they say how
    sagas usually go.

    Raises
    ------
    NothingTracked
        There is no saga table.
    """
    found: bytes | None = None
    others: dict[str, bytes] = {}
    async with open_changelog(settings, [saga_id]) as changelog:
        async for changes in changelog.to_end():
            for change in changes:
                others.pop(change.saga, None)
                if change.saga == saga_id:
                    found = change.value
                elif change.value is not None:
                    others[change.saga] = change.value
                    if len(others) > _OTHERS_MAX:
                        del others[next(iter(others))]
    return found, list(others.values())


async def read_sagas_of(settings: KafkaSettings, sagas: Collection[str]) -> dict[str, bytes]:
    """The bytes of the sagas with these ids, of those that there are.

    Raises
    ------
    NothingTracked
        There is no saga table.
    """
    found: dict[str, bytes] = {}
    async with open_changelog(settings, sagas) as changelog:
        async for changes in changelog.to_end():
            for change in changes:
                if change.value is None:
                    found.pop(change.saga, None)
                elif change.saga in sagas:
                    found[change.saga] = change.value
    return found


async def read_subscriptions(settings: KafkaSettings) -> Subscriptions:
    """Who is subscribed to what; nobody when no service has announced itself yet."""
    return Subscriptions(await read_announcements(settings))


async def read_announcements(settings: KafkaSettings) -> list[ServiceAnnouncement]:
    """What services announce of themselves; the newest announcement of each."""
    found = [_announcement(value) for value in (await read_compacted(settings, SERVICES_TOPIC)).values()]
    return [announcement for announcement in found if announcement is not None]


async def read_compacted(settings: KafkaSettings, topic: str) -> dict[bytes, bytes]:
    """The newest value of each key of a topic; nothing when there is no such topic."""
    partitions = await _partitions(settings, topic)
    found: dict[bytes, bytes] = {}
    if not partitions:
        return found
    async with _consumer(settings, partitions) as consumer:
        async for records in _to_end(consumer, partitions):
            for record in records:
                found.pop(record.key or b"", None)
                if record.value is not None:
                    found[record.key or b""] = record.value
    return found


def _announcement(value: bytes) -> ServiceAnnouncement | None:
    try:
        return json.decode(value, type=ServiceAnnouncement)
    except (DecodeError, UnicodeDecodeError):
        return None  # somebody else's record: the topic is open to every language


async def _partitions(
    settings: KafkaSettings, topic: str, sagas: Collection[str] | None = None
) -> list[TopicPartition]:
    """Those of the topic, none if it does not exist; with ids only those that hold these sagas."""
    count = (await partition_counts(settings, [topic])).get(topic, 0)
    if sagas is None or not count:
        return [TopicPartition(topic, partition) for partition in range(count)]
    return [TopicPartition(topic, partition) for partition in {saga_partition(id_, count) for id_ in sagas}]


@contextlib.asynccontextmanager
async def _consumer(
    settings: KafkaSettings, partitions: Collection[TopicPartition]
) -> AsyncIterator[AIOKafkaConsumer]:
    async with reader(settings, max_partition_fetch_bytes=_FETCH_BYTES_MAX) as consumer:
        consumer.assign(partitions)
        yield consumer


async def _to_end(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> AsyncIterator[list[ConsumerRecord]]:
    async for _, records in records_before(consumer, await consumer.end_offsets(partitions)):
        yield records


def _changes(records: Iterable[ConsumerRecord]) -> list[Change]:
    """What they tell of sagas; the clock of the table is none."""
    return [
        Change((record.key or b"").decode(errors="replace"), record.value, record.timestamp)
        for record in records
        if record.key != _CLOCK
    ]
