"""The tracker: from events on business topics to committed sagas, in one process."""

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from msgspec import json

from saga.core.receipt import SERVICES_TOPIC
from saga.runtime.kafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, admin
from saga.runtime.settings import KafkaSettings
from tests.bench import orders
from tests.bench.faust_peer import write_per_event
from tests.bench.row import Row
from tracker.core.frame import STEPS_TOPIC
from tracker.runtime import app, collector

ORDERS = 25_000
PEER_ORDERS = 2_500
ROUNDS = 3
DEADLINE_SECONDS = 60
LOOK_SECONDS = 0.02


async def run(bootstrap_servers: str) -> Row:
    ours, faust = [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS):  # by turns: what else the machine has to do, both have to bear
            async with worker(bootstrap_servers, folder) as process:
                ours.append(await tracked(bootstrap_servers, process, f"tracked-{turn}", ORDERS))
            prefix = f"faust-{turn}"
            count = await orders.publish(bootstrap_servers, prefix, PEER_ORDERS)
            faust.append(count / await write_per_event(bootstrap_servers, prefix, count))
    return Row(
        name="tracker",
        unit="events/s",
        ours=median(ours),
        peers={"faust": median(faust)},
        ratio=median(mine / theirs for mine, theirs in zip(ours, faust, strict=True)),
        goal="50,000 on one core, 15 times a Faust table write per event",
        runs=ROUNDS,
    )


class Worker:
    """A worker process, of which one can wait for a line of its log."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def line(self, text: str) -> None:
        """Return when it has written a line with this text."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert self._process.stderr is not None
            while text not in (line := (await self._process.stderr.readline()).decode()):
                assert line, "the worker ended"


@asynccontextmanager
async def worker(bootstrap_servers: str, folder: str, **settings: str) -> AsyncIterator[Worker]:
    """One worker process, ready: its collector waits for business topics."""
    environment = {"SAGA_BOOTSTRAP_SERVERS": bootstrap_servers, "SAGA_STATE_DIR": folder, **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tracker.runtime.worker", env={**os.environ, **environment}, stderr=PIPE
    )
    try:
        started = Worker(process)
        await started.line("collecting from")
        async with _client(bootstrap_servers) as client:
            await _until_read(client, app.GROUP, [STEPS_TOPIC])
        yield started
    finally:
        process.terminate()
        await process.wait()


async def tracked(
    bootstrap_servers: str, process: Worker, prefix: str, count: int, events_max: int = len(orders.TYPES)
) -> float:
    """Events per second, from the subscription of the collector to the commit of the last frame."""
    published = await orders.publish(bootstrap_servers, prefix, count, events_max)
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer,
        _client(bootstrap_servers) as client,
    ):
        key, announced = orders.announcement(prefix)
        await producer.send_and_wait(SERVICES_TOPIC, json.encode(announced), key=key)
        await process.line(f"{prefix}.")
        began = time.perf_counter()
        await _until_read(client, collector.GROUP, orders.topics(prefix))
        await _until_read(client, app.GROUP, [STEPS_TOPIC])
        return published / (time.perf_counter() - began)


class Client(NamedTuple):
    admin: AIOKafkaAdminClient
    ends: AIOKafkaConsumer


@asynccontextmanager
async def _client(bootstrap_servers: str) -> AsyncIterator[Client]:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    async with admin(settings) as client, AIOKafkaConsumer(bootstrap_servers=bootstrap_servers) as ends:
        yield Client(client, ends)


async def _until_read(client: Client, group: str, topics: Sequence[str]) -> None:
    """Until the group has committed all that stands on the topics now."""
    partitions = [TopicPartition(topic, number) for topic in topics for number in range(orders.PARTITIONS)]
    ends = await client.ends.end_offsets(partitions)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        read = await client.admin.list_consumer_group_offsets(group)
        if all(
            not end or (partition in read and read[partition].offset >= end)
            for partition, end in ends.items()
        ):
            return
        assert time.monotonic() < deadline, f"{topics} not read within {DEADLINE_SECONDS} s"
        await asyncio.sleep(LOOK_SECONDS)


def _offset(read: Mapping[TopicPartition, Any], partition: TopicPartition) -> int:
    return read[partition].offset if partition in read else 0
