"""Follows what is paused, and what this service has parked; reads that again when its turn comes."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from saga.core.delivery import read_delivery, read_parked
from saga.core.parking import Parking
from saga.core.pause import PAUSED_TOPIC, parked_topic
from saga.runtime.kafka import ConsumerRecord, TopicPartition, reader, records_before
from saga.runtime.settings import KafkaSettings

logger = logging.getLogger(__name__)

_POLL_MS = 1_000
_GAP_MAX = 500
"""Records between two that are wanted: up to so many are read, more are leapt over by a new request."""


class ParkingFeed:
    """Keeps a `Parking` as `saga.paused` and the service's parked topic have it, from their beginnings on.

    What it holds of a parked event is its offset there: a search result may be paused, and each instance
    follows what all of them have parked.
    """

    def __init__(self, settings: KafkaSettings, service: str, parking: Parking[int]) -> None:
        self._settings = settings
        self._parking = parking
        self._parked = TopicPartition(parked_topic(service), 0)
        self._sources = [TopicPartition(PAUSED_TOPIC, 0), self._parked]
        self._read = dict.fromkeys(self._sources, 0)
        self._moved = asyncio.Condition()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with reader(self._settings, isolation_level="read_committed") as consumer:
            consumer.assign(self._sources)
            while True:
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in records:
                        self._take(record)
                read = {source: await consumer.position(source) for source in self._sources}
                if read != self._read:
                    async with self._moved:
                        self._read = read
                        self._moved.notify_all()

    async def caught_up(self) -> None:
        """Wait until everything has been read that stands in the topics now.

        Not only what is committed: a transaction of which the group's offsets are known may still be open
        here. It is waited for until it is ended.
        """
        async with reader(self._settings) as consumer:
            ends = await consumer.end_offsets(self._sources)
        async with self._moved:
            await self._moved.wait_for(
                lambda: all(self._read[source] >= ends[source] for source in self._sources)
            )

    async def read(self, offsets: Sequence[int]) -> list[ConsumerRecord]:
        """The events parked at these offsets, in this order, under the keys that they were published with.

        One that is not there any more is left out: it has been done with, or has been parked anew since.
        """
        found: dict[int, ConsumerRecord] = {}
        async with reader(self._settings, isolation_level="read_committed") as consumer:
            consumer.assign([self._parked])
            for first, last in _stretches(sorted(offsets)):
                consumer.seek(self._parked, first)
                async for _, records in records_before(consumer, {self._parked: last + 1}):
                    found.update((record.offset, record) for record in records)
        events = []
        for offset in offsets:
            if (record := found.get(offset)) and (parked := read_parked(record.headers)):
                events.append(replace(record, key=parked.key))
        return events

    def _take(self, record: ConsumerRecord) -> None:
        parking, key = self._parking, record.key
        if key is None:
            logger.warning("%s@%d has no key and is left out", record.topic, record.offset)
        elif record.topic == PAUSED_TOPIC:
            saga = key.decode(errors="replace")
            if record.value is None:
                parking.resume(saga)
            else:
                parking.pause(saga)
        elif record.value is None:
            parking.remove(key)
        elif (parked := read_parked(record.headers)) is None:
            logger.warning("%s@%d was parked by nobody and is left out", record.topic, record.offset)
        else:
            delivery = read_delivery(record.headers, record.topic, record.partition, record.offset)
            place = delivery.topic, delivery.partition
            parking.put(key, parked.saga, place, delivery.offset, record.offset)


def _stretches(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of those that lie so close together that they are read in one go; of one or more."""
    first = last = offsets[0]
    for offset in offsets[1:]:
        if offset - last > _GAP_MAX:
            yield first, last
            first = offset
        last = offset
    yield first, last
