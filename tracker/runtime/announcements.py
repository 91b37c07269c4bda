"""What services announce of themselves, read from the compacted topic `saga.services`."""

import asyncio
import logging

from msgspec import DecodeError, json

from saga.core.receipt import SERVICES_TOPIC, ServiceAnnouncement
from saga.runtime.kafka import ConsumerRecord, reader
from saga.runtime.settings import KafkaSettings
from tracker.core.sources import announced_topics
from tracker.core.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

_POLL_MS = 500

_decoder = json.Decoder(ServiceAnnouncement)


class Announcements:
    """The newest announcement of each service; kept current as long as `run` does.

    The topic is read as a whole, by each reader for itself.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._services: dict[bytes, ServiceAnnouncement] = {}
        self._ready = asyncio.Event()
        self.subscriptions = Subscriptions()
        """Who handles what, by the announcements read so far; another object when it changes."""

    async def ready(self) -> None:
        """Wait until all has been read that stood on the topic when `run` began."""
        await self._ready.wait()

    def topics(self) -> frozenset[str]:
        """All topics that a service subscribes to or publishes on."""
        return announced_topics(self._services.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Read the topic from its beginning, and go on until told to stop.

        Raises
        ------
        KafkaError
            It can't be read.
        """
        async with reader(self._settings, SERVICES_TOPIC) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while not stop.is_set():
                if not self._ready.is_set() and all(
                    [await consumer.position(source) >= end for source, end in ends.items()]
                ):
                    self._ready.set()
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in records:
                        self._take(record)
                    self.subscriptions = Subscriptions(self._services.values())

    def _take(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        key = record.key or b""
        if record.value is None:
            self._services.pop(key, None)
            return
        try:
            self._services[key] = _decoder.decode(record.value)
        except (DecodeError, UnicodeDecodeError) as error:
            logger.warning(
                "%s-%d@%d is no announcement: %s", record.topic, record.partition, record.offset, error
            )
