"""The tracker: from events on business topics to committed sagas, in one process."""

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import NamedTuple

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
            async with _worker(bootstrap_servers, folder) as worker:
                ours.append(await _tracked(bootstrap_servers, worker, f"tracked-{turn}"))
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


@asynccontextmanager
async def _worker(bootstrap_servers: str, folder: str) -> AsyncIterator[Process]:
    """One worker process, ready: its collector waits for business topics."""
    settings = {"SAGA_BOOTSTRAP_SERVERS": bootstrap_servers, "SAGA_STATE_DIR": folder}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tracker.runtime.worker", env={**os.environ, **settings}, stderr=PIPE
    )
    try:
        await _line(process, "collecting from")
        async with _client(bootstrap_servers) as client:
            await _until_read(client, app.GROUP, [STEPS_TOPIC])
        yield process
    finally:
        process.terminate()
        await process.wait()


async def _tracked(bootstrap_servers: str, worker: Process, prefix: str) -> float:
    """Events per second, from the subscription of the collector to the commit of the last frame."""
    count = await orders.publish(bootstrap_servers, prefix, ORDERS)
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer,
        _client(bootstrap_servers) as client,
    ):
        key, announced = orders.announcement(prefix)
        await producer.send_and_wait(SERVICES_TOPIC, json.encode(announced), key=key)
        await asyncio.wait_for(_line(worker, f"{prefix}."), DEADLINE_SECONDS)
        began = time.perf_counter()
        await _until_read(client, collector.GROUP, orders.topics(prefix))
        await _until_read(client, app.GROUP, [STEPS_TOPIC])
        return count / (time.perf_counter() - began)


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
        if all(partition in read and read[partition].offset >= end for partition, end in ends.items()):
            return
        assert time.monotonic() < deadline, f"{topics} not read within {DEADLINE_SECONDS} s"
        await asyncio.sleep(LOOK_SECONDS)


async def _line(process: Process, text: str) -> None:
    assert process.stderr is not None
    while text not in (line := (await process.stderr.readline()).decode()):
        assert line, "the worker ended"
