"""The tracker: from events on business topics to committed sagas, in one process and in two."""

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
from aiokafka.errors import GroupCoordinatorNotAvailableError
from msgspec import json

from saga.core.receipt import SERVICES_TOPIC
from saga.runtime.kafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, admin
from saga.runtime.settings import KafkaSettings
from tests.bench import orders
from tests.bench.faust_peer import write_per_event
from tests.bench.row import Row
from tracker.core.frame import STEPS_TOPIC
from tracker.core.lag import COLLECTOR_GROUP
from tracker.core.saga import TRACKER_GROUP

ORDERS = 25_000
PEER_ORDERS = 2_500
ROUNDS = 3
DEADLINE_SECONDS = 120
LOOK_SECONDS = 0.02


async def run(bootstrap_servers: str) -> Row:
    ours: list[float] = []
    one: list[float] = []
    faust: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS):  # by turns: what else the machine has to do, all have to bear
            for processes, rates in (("1", one), ("2", ours)):
                async with worker(bootstrap_servers, folder, SAGA_PROCESSES=processes) as process:
                    done = await tracked(bootstrap_servers, process, f"tracked-{processes}-{turn}", ORDERS)
                    rates.append(done.per_second)
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
        extra={
            "in one process": median(one),
            "two processes to one": median(two / alone for two, alone in zip(ours, one, strict=True)),
        },
    )


class Tracked(NamedTuple):
    """So many events, and what they took."""

    events: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.events / self.seconds


class Client(NamedTuple):
    admin: AIOKafkaAdminClient
    ends: AIOKafkaConsumer


class Worker:
    """A worker process, of which one can wait for a line of its log."""

    def __init__(self, process: Process, client: Client) -> None:
        self._process = process
        self._client = client
        self._read: list[str] = []
        self.pid = process.pid

    async def line(self, text: str) -> str:
        """The next line with this text that it writes."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert self._process.stderr is not None
            while True:
                line = (await self._process.stderr.readline()).decode()
                assert line, "the worker ended"
                self._read.append(line)
                if text in line:
                    return line

    async def first_line(self, text: str) -> str:
        """The first line with this text since it began."""
        return next((line for line in self._read if text in line), None) or await self.line(text)

    async def done(self, prefix: str) -> None:
        """Return when all that stands on these topics is in committed sagas."""
        await until_read(self._client, COLLECTOR_GROUP, orders.topics(prefix))
        await until_read(self._client, TRACKER_GROUP, [STEPS_TOPIC])


@asynccontextmanager
async def worker(bootstrap_servers: str, folder: str, **settings: str) -> AsyncIterator[Worker]:
    """One worker process, ready: its collector waits for business topics."""
    environment = {"SAGA_BOOTSTRAP_SERVERS": bootstrap_servers, "SAGA_STATE_DIR": folder, **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tracker.runtime.worker", env={**os.environ, **environment}, stderr=PIPE
    )
    try:
        async with clients(bootstrap_servers) as client:
            started = Worker(process, client)
            if settings.get("SAGA_PARTS") != "tracker":
                await started.line("collecting from")
            await until_read(client, TRACKER_GROUP, [STEPS_TOPIC])
            yield started
    finally:
        process.terminate()
        await process.wait()


async def tracked(
    bootstrap_servers: str, process: Worker, prefix: str, count: int, events_max: int = len(orders.TYPES)
) -> Tracked:
    """Publish orders and have them tracked: from the subscription of the collector to the commit of the last
    frame.
    """
    published = await orders.publish(bootstrap_servers, prefix, count, events_max)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        key, announced = orders.announcement(prefix)
        await producer.send_and_wait(SERVICES_TOPIC, json.encode(announced), key=key)
        await process.line(f"{prefix}.")
        began = time.perf_counter()
        await process.done(prefix)
        return Tracked(published, time.perf_counter() - began)


@asynccontextmanager
async def clients(bootstrap_servers: str) -> AsyncIterator[Client]:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    async with admin(settings) as client, AIOKafkaConsumer(bootstrap_servers=bootstrap_servers) as ends:
        yield Client(client, ends)


async def until_read(client: Client, group: str, topics: Sequence[str]) -> None:
    """Until the group has committed all that stands on the topics now."""
    partitions = [TopicPartition(topic, number) for topic in topics for number in range(orders.PARTITIONS)]
    ends = await client.ends.end_offsets(partitions)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            read = await client.admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            read = {}  # a new cluster takes a moment to name one
        if all(
            not end or (partition in read and read[partition].offset >= end)
            for partition, end in ends.items()
        ):
            return
        assert time.monotonic() < deadline, f"{topics} not read within {DEADLINE_SECONDS} s"
        await asyncio.sleep(LOOK_SECONDS)
