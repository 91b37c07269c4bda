"""Sagas published by plain Kafka clients, and the truth about them in simple dicts.

The auditor shares no code with the tracker: it decodes MessagePack without types and compares.
"""

import asyncio
import json
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from msgspec import msgpack
from rocksdict import Options, Rdict

from saga.runtime.kafka import Topic, ensure_topics
from saga.runtime.settings import KafkaSettings

CHANGELOG = "saga-tracker-sagas-changelog"
RECEIPTS = "saga.receipts"
SERVICES = "saga.services"
EVENTS_MIN, EVENTS_MAX = 3, 7
DUPLICATED, MALFORMED, ABORTED = 0.05, 0.02, 0.02

Truth = dict[str, dict[str, tuple[str, str]]]
"""By saga and event: its type, and the service that sent a receipt for it."""


@dataclass
class Load:
    """Publishes sagas on topics of its own; `truth` is what the tracker must know of them."""

    bootstrap_servers: str
    prefix: str
    seed: int
    truth: Truth = field(default_factory=lambda: defaultdict(dict))
    malformed: int = 0

    @property
    def topics(self) -> list[str]:
        return [f"{self.prefix}.{name}" for name in ("orders", "inventory", "payments")]

    async def prepare(self) -> None:
        """Make the topics, and announce a service that handles their events."""
        compacted = {"cleanup.policy": "compact"}
        await ensure_topics(
            KafkaSettings(bootstrap_servers=self.bootstrap_servers),
            [*(Topic(name, 3) for name in self.topics), Topic(RECEIPTS, 3), Topic(SERVICES, 1, compacted)],
        )
        parts = [{"type": "any", "topic": topic, "handler": "handle"} for topic in self.topics]
        announcement = {"service": self.prefix, "subscribes": parts, "publishes": []}
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers) as producer:
            await producer.send_and_wait(SERVICES, json.dumps(announcement).encode(), self.prefix.encode())

    async def publish(self, sagas: int, per_second: float = 1e9) -> None:
        """Publish so many sagas; their events are mixed with those of others, some twice, some in vain."""
        chance = random.Random(f"{self.seed}-{sagas}-{len(self.truth)}")
        options = {"bootstrap_servers": self.bootstrap_servers, "enable_idempotence": True, "linger_ms": 5}
        async with (
            AIOKafkaProducer(**options) as producer,
            AIOKafkaProducer(**options, transactional_id=f"ghost-{self.prefix}") as ghost,
        ):
            pending = [(f"{self.prefix}-{len(self.truth)}-{n}", 0) for n in range(sagas)]
            for position, (saga, _) in enumerate(pending):
                for number in range(chance.randint(EVENTS_MIN, EVENTS_MAX)):
                    await self._event(producer, chance, saga, number)
                if chance.random() < ABORTED:
                    await self._abort(ghost, saga)
                if position % 20 == 19:
                    await asyncio.sleep(20 / per_second)
            await producer.flush()

    async def _event(self, producer: AIOKafkaProducer, chance: random.Random, saga: str, number: int) -> None:
        event, kind = f"{saga}/{number}", f"type-{number}"
        topic = self.topics[number % 3]
        copies = 2 if chance.random() < DUPLICATED else 1
        for _ in range(copies):
            await producer.send(topic, b"{}", saga.encode(), headers=headers(saga, event, kind))
        service = f"service-{number % 2}"
        await producer.send(RECEIPTS, receipts(saga, event, service, topic), saga.encode())
        self.truth[saga][event] = kind, service
        if chance.random() < MALFORMED:
            self.malformed += 2
            await producer.send(topic, b"not an event")
            await producer.send(RECEIPTS, b"\xff not receipts")

    async def _abort(self, ghost: AIOKafkaProducer, saga: str) -> None:
        """An event that never was: its transaction is aborted."""
        await ghost.begin_transaction()
        await ghost.send_and_wait(self.topics[0], b"{}", headers=headers(saga, f"{saga}/ghost", "ghost"))
        await ghost.abort_transaction()


def headers(saga: str, event: str, kind: str) -> list[tuple[str, bytes]]:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.encode()),
        ("ce_type", kind.encode()),
        ("ce_source", b"test"),
        ("ce_correlationid", saga.encode()),
    ]


def receipts(saga: str, event: str, service: str, topic: str) -> bytes:
    receipt = {
        "event": event,
        "saga": saga,
        "type": "any",
        "handler": "handle",
        "outcome": "handled",
        "at_ms": int(time.time() * 1000),
        "duration_ms": 1.5,
        "topic": topic,
        "partition": 0,
        "offset": 0,
    }
    return json.dumps({"service": service, "instance": "i", "receipts": [receipt]}).encode()


async def read(bootstrap_servers: str, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    """All records that stand on a topic; none if it does not exist."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers) as consumer:
        await consumer._client.add_topic(topic)
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        if not partitions:
            return []
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        found: list[ConsumerRecord[bytes, bytes]] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(records)
        return found


async def table(bootstrap_servers: str) -> dict[str, bytes]:
    """The sagas of the table as its changelog tells it, the newest value of each key."""
    rows = {record.key.decode(): record.value for record in await read(bootstrap_servers, CHANGELOG)}
    # But for clocks, and what was removed.
    return {key: row for key, row in rows.items() if row is not None and "\0" not in key}


async def watermarks(bootstrap_servers: str) -> dict[tuple[str, int], int]:
    """The newest watermark of each source partition, as the frames tell it."""
    newest: dict[tuple[str, int], int] = {}
    for record in await read(bootstrap_servers, "saga.steps"):
        for topic, partition, at_ms in msgpack.decode(record.value)[1]:
            newest[topic, partition] = max(at_ms, newest.get((topic, partition), 0))
    return newest


def differences(truth: Truth, rows: dict[str, bytes]) -> list[str]:
    """What the table does not know, or knows wrongly, of each saga in the truth."""
    found = []
    for saga, events in truth.items():
        known = _known(rows[saga]) if saga in rows else {}
        if known != events:
            found.append(f"{saga}: {sorted(events.items() ^ known.items())}")
    return found


def _known(row: bytes) -> dict[str, tuple[str, str]]:
    steps = msgpack.decode(row)[4]
    return {
        event: (seen[4] if seen else "unseen", ",".join(handling[0] for handling in handlings))
        for event, (seen, _, handlings, *_) in steps.items()
    }


async def audited(load: Load, within_seconds: float) -> None:
    """Return once the table knows the truth; fail with the first differences if it does not in time."""
    deadline = time.monotonic() + within_seconds
    while wrong := differences(load.truth, await table(load.bootstrap_servers)):
        assert time.monotonic() < deadline, (
            f"seed {load.seed}: {len(wrong)} of {len(load.truth)} sagas differ after {within_seconds} s, "
            f"for example {wrong[:3]}"
        )
        await asyncio.sleep(0.2)


def disk(state_dir: Path) -> dict[str, bytes]:
    """The saga table on the disk of a worker that has ended: all partitions that were ever its own."""
    rows: dict[str, bytes] = {}
    for folder in state_dir.rglob("sagas-*.db"):
        database = Rdict(str(folder), Options(raw_mode=True))
        rows.update((key.decode(), value) for key, value in database.items() if b"\0" not in key)
        database.close()
    return rows
