"""A tracker that has lost its disk, and one that has not: how soon it has a million sagas again."""

import tempfile
import time
from statistics import median

from msgspec import json, structs

from saga.core.receipt import SERVICES_TOPIC
from saga.runtime.kafka import AIOKafkaProducer
from tests.bench import orders
from tests.bench.row import Row
from tests.bench.tracker import worker
from tests.facts import NOON_MS, event
from tracker.core.fold import fold
from tracker.core.frame import saga_partition
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC, encode_saga
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.topics import made_topics
from tracker.store.changelog import Changelog

SAGAS = 1_000_000
CHUNK = 50_000
COLD = 3
WARM = 3
RESTORED = "partitions of the saga table are there, "


async def run(bootstrap_servers: str) -> Row:
    cold: list[float] = []
    ready: list[float] = []
    warm: list[float] = []
    await _fill(bootstrap_servers)
    key, announced = orders.announcement("restore")
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        await orders.topics_made(bootstrap_servers, "restore")
        await producer.send_and_wait(SERVICES_TOPIC, json.encode(announced), key=key)
    for turn in range(COLD):
        with tempfile.TemporaryDirectory() as folder:
            seconds, log = await _started(bootstrap_servers, folder)
            cold.append(SAGAS / log)
            ready.append(seconds)
            if turn == COLD - 1:
                for _ in range(WARM):
                    warm.append((await _started(bootstrap_servers, folder))[0])
    return Row(
        name="restore",
        unit="sagas/s",
        ours=median(cold),
        peers={},
        ratio=None,
        goal="100,000 sagas/s, a start with its disk within 5 s",
        runs=COLD,
        extra={
            "sagas": SAGAS,
            "start_without_disk_s": round(median(ready), 2),
            "start_with_disk_s": round(median(warm), 2),
        },
    )


async def _fill(bootstrap_servers: str) -> None:
    """A changelog of open sagas of 8 events, each with a deadline."""
    settings = TrackerSettings(bootstrap_servers=bootstrap_servers)
    partitions = (await made_topics(settings)).partitions
    saga = fold(
        None,
        "x",
        [event(f"0193a7c2-51e0-7d3c-9a1f-{number:012d}", f"order.step-{number}") for number in range(8)],
    )
    saga = structs.replace(saga, due_ms=NOON_MS + 10**12)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_batch_size=512 * 1024) as producer:
        changelog = Changelog(producer, SAGAS_CHANGELOG_TOPIC, _nobody_else)
        for first in range(0, SAGAS, CHUNK):
            rows: dict[int, dict[bytes, bytes | None]] = {}
            for number in range(first, first + CHUNK):
                name = f"0193a7c2-51e0-7d3c-8a1f-{number:012d}"
                row = encode_saga(structs.replace(saga, id=name))
                rows.setdefault(saga_partition(name, partitions), {})[name.encode()] = row
            await changelog.append(rows)


async def _nobody_else(partition: int, first: int, end: int) -> set[bytes]:
    raise AssertionError(f"somebody else has written {first} to {end} of partition {partition}")


async def _started(bootstrap_servers: str, folder: str) -> tuple[float, float]:
    """Seconds from the start of the process until it has folded an event that waited for it; and of these,
    as its log says, those of reading the changelog.
    """
    await orders.publish(bootstrap_servers, "restore", 100, 1)
    began = time.perf_counter()
    async with worker(bootstrap_servers, folder) as process:
        await process.done("restore")
        seconds = time.perf_counter() - began
        return seconds, float((await process.first_line(RESTORED)).split()[-2])
