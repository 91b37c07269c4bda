"""The events of the tracker benchmark: orders of four to eight events each, spread over four topics."""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from uuid_utils import uuid7

from saga.core.envelope import Envelope
from saga.core.receipt import SERVICES_TOPIC, ServiceAnnouncement, Subscription
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.bench.sample import TRACEPARENT
from tracker.core.frame import saga_partition

PARTITIONS = 8
CONTEXTS = ("orders", "inventory", "payments", "shipping")
TYPES = (
    ("orders", "order.placed"),
    ("inventory", "stock.reserved"),
    ("payments", "payment.charged"),
    ("shipping", "parcel.packed"),
    ("shipping", "parcel.dispatched"),
    ("inventory", "stock.shipped"),
    ("shipping", "parcel.delivered"),
    ("orders", "order.closed"),
)
VALUE = b'{"order_id":"o-00001042","lines":[{"sku":"bolt-m6-zinc","quantity":100}],"amount":41.5}'
APART = 500
"""Orders placed between two events of one order."""

Published = tuple[str, str, list[tuple[str, bytes]]]
"""Context, id of the saga, headers."""


def topics(prefix: str) -> list[str]:
    return [f"{prefix}.{context}" for context in CONTEXTS]


def events(
    orders: int, events_max: int = len(TYPES), begun_ms: int | None = None, spread_ms: int | None = None
) -> Iterator[Published]:
    """The events of so many orders in the order of their publication: many orders are under way at once.

    Parameters
    ----------
    events_max : an order has four to eight events, and no more than this.
    begun_ms : time of the first event; a minute ago if not given.
    spread_ms : over so many milliseconds the first events are spread; one millisecond each if not given.
    """
    begun = int(time.time() * 1000) - 60_000 if begun_ms is None else begun_ms
    ids = [str(uuid7()) for _ in range(orders)]
    for tick in range(orders + APART * len(TYPES)):
        for number in range(len(TYPES)):
            order = tick - number * APART
            if 0 <= order < orders and number < min(events_max, 4 + order % 5):
                context, name = TYPES[number]
                saga = ids[order]
                envelope = Envelope(
                    f"{saga}-{number}" if number else saga,
                    name,
                    context,
                    saga,
                    begun + (tick if spread_ms is None else tick * spread_ms // orders),
                    (f"{saga}-{number - 1}" if number > 1 else saga) if number else None,
                    traceparent=TRACEPARENT,
                )
                yield context, saga, envelope.headers()


async def topics_made(bootstrap_servers: str, prefix: str) -> None:
    """Make the topics of these orders."""
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    await ensure_topics(settings, [Topic(topic, PARTITIONS) for topic in topics(prefix)])


async def publish(
    bootstrap_servers: str,
    prefix: str,
    orders: int,
    events_max: int = len(TYPES),
    begun_ms: int | None = None,
    spread_ms: int | None = None,
) -> int:
    """Publish the events of so many orders, see `events`; how many events they are."""
    await topics_made(bootstrap_servers, prefix)
    count = 0
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_batch_size=256 * 1024) as producer:
        batches: defaultdict[tuple[str, int], Any] = defaultdict(producer.create_batch)
        for context, saga, headers in events(orders, events_max, begun_ms, spread_ms):
            count += 1
            place = f"{prefix}.{context}", saga_partition(saga, PARTITIONS)
            record = {"timestamp": None, "key": saga.encode(), "value": VALUE, "headers": headers}
            if batches[place].append(**record) is None:
                await producer.send_batch(batches.pop(place), place[0], partition=place[1])
                batches[place].append(**record)
        for (topic, partition), batch in batches.items():
            await producer.send_batch(batch, topic, partition=partition)
        await producer.flush()
    return count


def announcement(prefix: str) -> tuple[bytes, ServiceAnnouncement]:
    """Key and value of the record on `saga.services` that makes the tracker read these topics."""
    subscribed = [Subscription(name, f"{prefix}.{context}", "handle") for context, name in TYPES]
    return b"bench", ServiceAnnouncement("bench", subscribed, [])


__all__ = ["SERVICES_TOPIC", "announcement", "events", "publish", "topics", "topics_made"]
