"""A backlog of any length takes no more memory than a short one, and nothing of it is shed."""

import asyncio
from collections import Counter
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaProducer
from msgspec import json, msgpack

from saga.local import LocalKafka
from saga.runtime.kafka import Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.bench import orders
from tests.bench.tracker import clients, until_read
from tests.integration.processes import Process
from tests.integration.tracker_load import table
from tracker.core.frame import STEPS_TOPIC
from tracker.core.lag import COLLECTOR_GROUP
from tracker.core.saga import TRACKER_GROUP

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

SHORT, LONG = 20_000, 50_000
"""Orders, of six events each on average."""

MORE_BYTES_MAX = 200 * 1024 * 1024
"""What the long backlog may take beyond the short one, since RocksDB has buffers of 16 MB for each of eight
partitions, and memory is handed back late."""


class Peak:
    """The most memory that a process has had."""

    def __init__(self, process: Process) -> None:
        self._process = psutil.Process(process.running.pid)
        self.bytes = 0

    async def run(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            await asyncio.sleep(0.02)


async def known(servers: str) -> tuple[int, int]:
    """Events and sagas that the table knows, decoded without the tracker's types."""
    rows = await table(servers)
    return sum(len(msgpack.decode(row)[_steps(row)]) for row in rows.values() if row), len(rows)


def _steps(row: bytes) -> int:
    """Where the steps stand in a row: they are its first map."""
    return next(place for place, field in enumerate(msgpack.decode(row)) if isinstance(field, dict))


async def caught_up(servers: str, tracker: Process) -> int:
    """The peak of a tracker that is started on its backlog, once all of it is in committed sagas."""
    tracker.start()
    peak = Peak(tracker)
    sampling = asyncio.create_task(peak.run())
    async with clients(servers) as client:
        await until_read(client, COLLECTOR_GROUP, orders.topics("backlog"))
        await until_read(client, TRACKER_GROUP, [STEPS_TOPIC])
    sampling.cancel()
    return peak.bytes


async def test_a_long_backlog_takes_no_more_memory_than_a_short_one(
    broker: LocalKafka, tmp_path: Path
) -> None:
    servers = broker.bootstrap_servers
    await ensure_topics(
        KafkaSettings(bootstrap_servers=servers),
        [Topic(orders.SERVICES_TOPIC, 1, {"cleanup.policy": "compact"})],
    )
    key, announced = orders.announcement("backlog")
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(orders.SERVICES_TOPIC, json.encode(announced), key=key)
    tracker = Process(
        ["tracker.runtime.worker"],
        {
            "SAGA_BOOTSTRAP_SERVERS": servers,
            "SAGA_STATE_DIR": str(tmp_path / "state"),
            "SAGA_SESSION_TIMEOUT_MS": "2000",
            "SAGA_CACHED_SAGAS": "2000",  # full after a moment, so that both backlogs fill it
            "SAGA_DIRTY_SAGAS": "2000",
        },
        tmp_path / "tracker.log",
    )
    peaks: Counter[str] = Counter()
    events = 0
    try:
        for name, count in (("short", SHORT), ("long", LONG)):
            events += await orders.publish(servers, "backlog", count)
            peaks[name] = await caught_up(servers, tracker)
            assert await asyncio.to_thread(tracker.stop) == 0
        assert (await known(servers))[0] == events
    finally:
        tracker.end()
        print(tracker.output()[-5_000:])
        print({name: f"{peak / 1024 / 1024:.0f} MB" for name, peak in peaks.items()}, events, "events")
    assert peaks["long"] < peaks["short"] + MORE_BYTES_MAX
