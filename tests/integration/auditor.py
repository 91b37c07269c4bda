"""Reads what stands on Kafka, with nothing of ours: the judge of what was lost or doubled."""

import collections
import json
import time
from collections.abc import AsyncIterator, Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

READ_SECONDS_MAX = 60
OPEN_SECONDS_MAX = 5

BUSINESS_TOPICS = ("orders", "inventory", "payments", "shipping")


class Ledger:
    """Every committed event and receipt, by type and by order."""

    def __init__(self) -> None:
        self.events: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.ids: collections.Counter[str] = collections.Counter()
        self.causes: dict[str, str] = {}
        self.receipts: list[tuple[str, dict[str, object]]] = []

    def __str__(self) -> str:
        return ", ".join(f"{len(orders)} {event_type}" for event_type, orders in self.events.items())

    def orders(self, event_type: str) -> set[str]:
        """The orders that have an event of this type."""
        return set(self.events[event_type])

    def doubled(self) -> dict[str, list[str]]:
        """Orders with more than one event of the same type."""
        return {
            event_type: [order for order, count in counter.items() if count > 1]
            for event_type, counter in self.events.items()
            if any(count > 1 for count in counter.values())
        }

    def doubled_ids(self) -> list[str]:
        return [event for event, count in self.ids.items() if count > 1]

    def settled(self) -> set[str]:
        """Orders whose saga has come to one of its ends."""
        return (
            self.orders("parcel.dispatched")
            | self.orders("payment.declined")
            | self.orders("order.cancelled")
        )


async def audit(
    bootstrap_servers: str, topics: Iterable[str] = (*BUSINESS_TOPICS, "saga.receipts")
) -> Ledger:
    """Everything that a read_committed reader sees from the beginning to the end of the topics."""
    ledger = Ledger()
    async for record in committed_records(bootstrap_servers, topics):
        _enter(ledger, record)
    return ledger


async def committed_records(bootstrap_servers: str, topics: Iterable[str]) -> AsyncIterator[ConsumerRecord]:
    """All committed records up to where the topics end now.

    A commit that Kafka has confirmed may not yet stand in the topics: what is open there is waited for, but
    not for the transaction of somebody who was killed.
    """
    existing = await _existing(bootstrap_servers, topics)
    if not existing:
        return
    consumer = AIOKafkaConsumer(
        *existing,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        ends = await _ends(bootstrap_servers, consumer.assignment())
        stable = await consumer.end_offsets(consumer.assignment())
        left = {partition for partition, end in ends.items() if end > 0}
        begun = time.monotonic()
        while left:
            waited = time.monotonic() - begun
            assert waited < READ_SECONDS_MAX, f"can't read to the end of {left}"
            taken = await consumer.getmany(timeout_ms=100, max_records=5000)
            for records in taken.values():
                for record in records:
                    yield record
            wanted = ends if waited < OPEN_SECONDS_MAX else stable
            for partition in list(left):
                if await consumer.position(partition) >= wanted[partition]:
                    left.discard(partition)
    finally:
        await consumer.stop()


async def _ends(bootstrap_servers: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Where partitions end, with what is not committed yet."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers) as consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(list(partitions))
        return ends


async def _existing(bootstrap_servers: str, topics: Iterable[str]) -> list[str]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await client.start()
    try:
        names = set(await client.list_topics())
    finally:
        await client.close()
    return [topic for topic in topics if topic in names]


def _enter(ledger: Ledger, record: ConsumerRecord) -> None:
    if record.topic == "saga.receipts":
        batch = json.loads(record.value)
        ledger.receipts.extend((batch["service"], receipt) for receipt in batch["receipts"])
        return
    headers = dict(record.headers)
    if not headers.get("ce_type") or not headers.get("ce_id"):
        return
    event_type = headers["ce_type"].decode()
    event_id = headers["ce_id"].decode()
    ledger.events[event_type][record.key.decode()] += 1
    ledger.ids[event_id] += 1
    if "ce_causationid" in headers:
        ledger.causes[event_id] = headers["ce_causationid"].decode()
