"""From the changelog to the databases: what a tracker reads before it goes on where another one stopped.

A partition that becomes ours is read from where its database stands to what was the end of its
changelog at that time. Partitions of others can be followed as well, so that little is left to be read
on the day they become ours.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from msgspec import DecodeError

from saga.core.delivery import Delivery, dead_letter, dead_letter_topic
from saga.core.errors import SagaError
from saga.core.ids import derived_id
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRecord,
    Topic,
    TopicPartition,
    ensure_topics,
    reader,
    records_before,
)
from tracker.core.clock import CLOCK_ROW
from tracker.core.effect import Alert
from tracker.core.errors import UnreadableSaga
from tracker.core.saga import SAGA_VERSION, decode_head, other_version
from tracker.runtime.settings import TrackerSettings
from tracker.store.changelog import KeysBetween
from tracker.store.rocks import RocksRows

logger = logging.getLogger(__name__)

_FETCH_BYTES_MAX = 4 * 1024 * 1024
_CHUNK_RECORDS = 20_000
_POLL_MS = 200
_TOLD_SECONDS = 5.0
_STALLED_SECONDS = 30.0
_SET_ASIDE_MAX = 1_000

DEAD_LETTERS = "tracker"
"""`saga.dlq.tracker` takes the records of the changelog that can't be read."""

Unreadable = dict[bytes, tuple[ConsumerRecord, UnreadableSaga]]
"""By key the last record of the changelog that is no saga, and why. The database keeps what was before it."""


_Consumer = Callable[[], AbstractAsyncContextManager[AIOKafkaConsumer]]


class RestoreFailed(SagaError):
    """The saga table can't be made from its changelog. The message says why, and what to do."""


class Restore:
    """Keeps databases up with the changelog. One use only.

    Between `begin` and `end` the partitions that `begin` named are ours: nobody else writes to their
    changelog, and we do so only once they are restored.

    Parameters
    ----------
    consumer : makes one that is in no group, started and without an assignment.
    followed : partitions whose databases are kept up while they are not ours.
    """

    def __init__(
        self,
        topic: str,
        rows: RocksRows,
        consumer: _Consumer,
        followed: Sequence[int],
    ) -> None:
        self._topic = topic
        self._rows = rows
        self._consumer = consumer
        self._others = followed
        self._ours: dict[int, asyncio.Future[bool]] = {}
        self._unreadable: dict[int, Unreadable] = {}
        self._ends: dict[int, int] = {}
        self._turn = 1
        self._changed = asyncio.Event()
        self._restored = 0
        self._begun_at = self._told_at = self._moved_at = 0.0

    @property
    def complete(self) -> bool:
        """Whether all that is ours is restored."""
        return not self._waited_for()

    def begin(self, partitions: Collection[int]) -> None:
        """These are ours from now on."""
        self._ours = {partition: asyncio.get_running_loop().create_future() for partition in partitions}
        self._restored = 0
        self._begun_at = self._told_at = self._moved_at = time.monotonic()
        self._new_turn()

    def end(self) -> None:
        """None is ours any more; who waits for one is told."""
        for restored in self._ours.values():
            if not restored.done():
                restored.set_result(False)
        self._ours = {}
        self._new_turn()

    async def restored(self, partition: int) -> bool:
        """Wait until a partition is up with its changelog; false if it is not ours any more."""
        restored = self._ours.get(partition)
        return restored is not None and await asyncio.shield(restored)

    def unreadable(self, partition: int) -> Unreadable:
        """What could not be read of a partition that is restored. It is told once."""
        return self._unreadable.pop(partition, {})

    async def run(self) -> None:
        """Restore and follow until cancelled.

        Raises
        ------
        RestoreFailed
            The changelog is not that of this tracker.
        KafkaError, StoreDamaged
            It has to be begun anew.
        """
        turn = 0
        async with self._consumer() as consumer:
            while True:
                if turn != self._turn:
                    turn = self._turn
                    self._changed.clear()
                    await self._turn_to(consumer, turn)
                elif consumer.assignment():
                    await self._read(consumer, turn)
                else:
                    await self._changed.wait()

    def _new_turn(self) -> None:
        self._turn += 1
        self._ends = {}
        self._changed.set()

    def _waited_for(self) -> list[int]:
        return [partition for partition, restored in self._ours.items() if not restored.done()]

    async def _turn_to(self, consumer: AIOKafkaConsumer, turn: int) -> None:
        """Begin to read what is wanted now, each partition where its database stands."""
        others = [partition for partition in self._others if partition not in self._ours]
        wanted = [*self._waited_for(), *others]
        consumer.assign([])  # and not unsubscribe(), at which the fetcher of aiokafka may end
        if not wanted:
            return
        sources = {TopicPartition(self._topic, partition): partition for partition in wanted}
        begins = await consumer.beginning_offsets(sources)
        ends = await consumer.end_offsets(sources)
        offsets = {}
        for source, partition in sources.items():
            if turn != self._turn:
                return
            offset = self._rows.open(partition)
            if offset > ends[source] or 0 < offset < begins[source]:
                have = f"the changelog has {begins[source]} to {ends[source]}, and it stands at {offset}"
                self._rows.rebuild(partition, have)
                offset = 0
            offsets[source] = max(offset, begins[source])
            await asyncio.sleep(0)
        if turn != self._turn:
            return
        consumer.assign(list(sources))
        for source, offset in offsets.items():
            consumer.seek(source, offset)
        self._ends = {partition: ends[source] for source, partition in sources.items()}
        self._settle({partition: offsets[source] for source, partition in sources.items()})

    async def _read(self, consumer: AIOKafkaConsumer, turn: int) -> None:
        batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_CHUNK_RECORDS)
        for source, records in batches.items():
            if turn != self._turn:
                return  # its database may be closed, or be written by the tracker: it is read again
            self._take(source.partition, records)
            await asyncio.sleep(0)
        positions = {}
        for partition in self._waited_for():
            source = TopicPartition(self._topic, partition)
            if source in consumer.assignment():
                # The position and not the last offset: compaction may leave nothing at the end.
                positions[partition] = await consumer.position(source)
        if turn == self._turn:
            self._settle(positions)
            self._tell(any(batches.values()))

    def _take(self, partition: int, records: Iterable[ConsumerRecord]) -> None:
        rows: dict[bytes, bytes | None] = {}
        unreadable = self._unreadable.setdefault(partition, {})
        offset = -1
        for record in records:
            offset = record.offset
            key, value = record.key or b"", record.value
            error = _why_unreadable(key, value)
            if error is None:
                rows[key] = value
                if unreadable:
                    unreadable.pop(key, None)
            else:
                unreadable[key] = record, error
        if len(unreadable) > _SET_ASIDE_MAX:
            raise RestoreFailed(
                f"{len(unreadable)} rows of {self._topic}-{partition} are no sagas. Find out who "
                "else writes to this topic; if the sagas can be lost, stop all trackers and delete it"
            )
        self._rows.write(partition, rows, offset)
        if partition in self._ours:
            self._restored += len(rows)

    def _settle(self, positions: Mapping[int, int]) -> None:
        """Tell who waits for partitions that are up with their changelog."""
        restored = [
            partition
            for partition in self._waited_for()
            if partition in positions and positions[partition] >= self._ends[partition]
        ]
        for partition in restored:
            self._ours[partition].set_result(True)
        if restored:
            # From now on it is us who write it. To read it as well would put older rows over newer ones.
            self._new_turn()
        if restored and not self._waited_for():
            logger.info(
                "%d partitions of the saga table are there, %d records read in %.1f s",
                *(len(self._ours), self._restored, time.monotonic() - self._begun_at),
            )

    def _tell(self, moved: bool) -> None:
        """Say from time to time how far it is, or that it stands still."""
        waited_for = self._waited_for()
        now = time.monotonic()
        if moved:
            self._moved_at = now
        if not waited_for or now - self._told_at < _TOLD_SECONDS:
            return
        if now - self._moved_at > _STALLED_SECONDS:
            logger.warning(
                "the changelog of partitions %s can't be read for %.0f s: look after their brokers",
                *(waited_for, now - self._moved_at),
            )
        else:
            logger.info(
                "%d records of the saga table read, partitions %s to come", self._restored, waited_for
            )
        self._told_at = now


def alerts(unreadable: Unreadable) -> list[Alert]:
    """Tell of the sagas whose last rows could not be read; at every start under the same ids."""
    return [
        Alert(
            derived_id(f"{record.topic}-{record.partition}", "tracker.unreadable-row", record.offset),
            key.decode(errors="replace"),
            key.decode(errors="replace"),
            "",
            0,
            "unreadable-row",
            record.timestamp,
            f"its row at {record.topic}-{record.partition}@{record.offset} can't be read, so it goes on from "
            f"an older one, or anew: {error}. What was there is on {dead_letter_topic(DEAD_LETTERS)}",
        )
        for key, (record, error) in unreadable.items()
    ]


async def dead_lettered(
    settings: TrackerSettings, producer: AIOKafkaProducer, unreadable: Unreadable
) -> None:
    """Put these records on `saga.dlq.tracker`, and return once they are there."""
    for record, error in unreadable.values():
        logger.error("%s-%d@%d is no saga: %s", record.topic, record.partition, record.offset, error)
    await ensure_topics(settings, [Topic(dead_letter_topic(DEAD_LETTERS))])
    for record, error in unreadable.values():
        letter = dead_letter(
            DEAD_LETTERS,
            "restore",
            Delivery(record.topic, record.partition, record.offset),
            error,
            time.time_ns() // 1_000_000,
            (record.key, record.value, record.headers),
        )
        await producer.send_and_wait(letter.topic, letter.value, key=letter.key, headers=letter.headers)


def _why_unreadable(key: bytes, value: bytes | None) -> UnreadableSaga | None:
    if not key:
        return UnreadableSaga("it has no key")
    if value is None or key == _CLOCK:
        return None
    try:
        # The rest is skipped, but has to be MessagePack to be so: a row that was cut or overwritten is found.
        head = decode_head(value)
    except (DecodeError, UnicodeDecodeError) as error:
        return UnreadableSaga(f"no saga of format version {SAGA_VERSION}: {error}")
    if head.version != SAGA_VERSION:
        raise RestoreFailed(other_version(head.version))
    return None if head.id.encode() == key else UnreadableSaga(f"it is the saga {head.id}")


_CLOCK = CLOCK_ROW.encode()


def changelog_consumer(settings: TrackerSettings) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
    """A consumer without a group for large chunks; to be assigned by who uses it."""
    return reader(settings, max_partition_fetch_bytes=_FETCH_BYTES_MAX)


def keys_between(topic: str, consumer: _Consumer) -> KeysBetween:
    """Tells, with a consumer for each question, whose rows stand between two offsets of the changelog."""

    async def keys_between(partition: int, first: int, end: int) -> set[bytes]:
        source = TopicPartition(topic, partition)
        keys: set[bytes] = set()
        async with consumer() as reading:
            reading.assign([source])
            reading.seek(source, first)
            async for _, records in records_before(reading, {source: end}):
                keys.update(record.key for record in records if record.key and record.offset < end)
        return keys

    return keys_between
