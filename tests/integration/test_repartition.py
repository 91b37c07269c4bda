"""`saga repartition` on a real Kafka: sagas and their deadlines move, and none is lost, wherever it dies."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import msgpack

from saga.local import LocalKafka
from saga.runtime.kafka import Topic, ensure_topics, partition_counts
from saga.runtime.settings import KafkaSettings
from tests.integration.processes import Process, tracker_process
from tests.integration.test_time import Shop, opened
from tests.integration.tracker_load import CHANGELOG, read
from tests.waiting import until
from tracker.core.frame import STEPS_TOPIC, saga_partition
from tracker.runtime import repartition
from tracker.runtime.settings import TrackerSettings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

OLD, NEW = 2, 5
SETTLE_SECONDS = 60
FLOW = """
flow: order
version: 1
begins: order.placed
ends: {completed: parcel.dispatched}
sla:
  - {name: on-time, within: 25s}
"""


class Died(Exception):
    """The process ends here."""


@pytest.fixture
def settings(broker: LocalKafka) -> TrackerSettings:
    return TrackerSettings(bootstrap_servers=broker.bootstrap_servers, session_timeout_ms=2_000)


@pytest.fixture
def tracker(broker: LocalKafka, tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "order.yaml").write_text(FLOW)
    flows = {"SAGA_FLOWS_DIR": str(tmp_path / "flows"), "SAGA_STEPS_PARTITIONS": str(OLD)}
    process = tracker_process(broker.bootstrap_servers, tmp_path, **flows)
    yield process
    process.end()
    print(process.output()[-10_000:])


def asked(servers: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("saga")), "repartition", "--partitions", str(NEW)]
    return subprocess.run(
        [*command, "--bootstrap-servers", servers], capture_output=True, text=True, timeout=120, check=False
    )


@asynccontextmanager
async def placed(broker: LocalKafka, tracker: Process, sagas: list[str]) -> AsyncIterator[Shop]:
    """Orders that a tracker has begun to follow."""
    async with opened(broker) as shop:
        tracker.start()
        await asyncio.to_thread(until, lambda: "shipping" in tracker.output(), 30)
        for saga in sagas:
            await shop.place(saga, time.time_ns() // 1_000_000)
        await shop.until_told("started", set(sagas[:100]))
        yield shop


async def homes(servers: str) -> dict[str, list[int]]:
    """By saga the partitions whose newest row of it is no tombstone."""
    newest: dict[tuple[int, str], bytes | None] = {}
    for record in await read(servers, CHANGELOG):
        newest[record.partition, (record.key or b"").decode()] = record.value
    found: dict[str, list[int]] = {}
    for (partition, key), value in newest.items():
        if value is not None and "\0" not in key:
            assert msgpack.decode(value)[1] == key
            found.setdefault(key, []).append(partition)
    return found


async def judged(shop: Shop, tracker: Process, sagas: list[str]) -> None:
    """Some orders end after the change, the others breach, and each is told once."""
    tracker.start()
    finished = set(sagas[::2])
    for saga in sorted(finished):
        await shop.dispatch(saga, time.time_ns() // 1_000_000)
    await shop.until_told("completed", finished, SETTLE_SECONDS)
    await shop.until_told("breached", set(sagas) - finished, SETTLE_SECONDS)
    servers = shop.bootstrap_servers
    assert await homes(servers) == {saga: [saga_partition(saga, NEW)] for saga in sagas}
    assert {len(set(ids)) for ids in (await shop.told("started")).values()} == {1}


async def test_sagas_move_with_their_deadlines(
    broker: LocalKafka, tracker: Process, settings: TrackerSettings
) -> None:
    sagas = [f"s-{number}" for number in range(300)]
    async with placed(broker, tracker, sagas) as shop:
        refused = await asyncio.to_thread(asked, broker.bootstrap_servers)
        assert refused.returncode == 1
        assert "stop all trackers" in refused.stderr
        tracker.kill()
        done = await _asked_until_nobody_runs(broker.bootstrap_servers)
        assert done.returncode == 0, done.stderr
        counts = await partition_counts(settings, [STEPS_TOPIC, CHANGELOG])
        assert counts == {STEPS_TOPIC: NEW, CHANGELOG: NEW}
        await judged(shop, tracker, sagas)


async def _asked_until_nobody_runs(servers: str) -> subprocess.CompletedProcess[str]:
    deadline = time.monotonic() + 20
    while "stop all trackers" in (answer := await asyncio.to_thread(asked, servers)).stderr:
        assert time.monotonic() < deadline
    return answer


async def test_who_dies_half_way_goes_on_and_no_tracker_starts_meanwhile(
    broker: LocalKafka, tracker: Process, settings: TrackerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagas = [f"s-{number}" for number in range(300)]
    async with placed(broker, tracker, sagas) as shop:
        tracker.kill()
        await asyncio.sleep(3)  # its session
        monkeypatch.setattr(repartition, "_MOVED_ROWS", 20)
        appends = 0
        append: Any = repartition._append

        async def dying(*arguments: Any) -> None:
            nonlocal appends
            appends += 1
            await append(*arguments)
            if appends in (1, 4, 9):  # behind the first copies, behind their removal, and once more
                raise Died

        monkeypatch.setattr(repartition, "_append", dying)
        for _ in range(3):
            with pytest.raises(Died):
                await repartition.repartition(settings, NEW, print)
        tracker.start()
        assert await asyncio.to_thread(tracker.running.wait, 30) == 1
        assert "saga repartition" in tracker.output()
        await repartition.repartition(settings, NEW, print)
        await judged(shop, tracker, sagas)


async def test_fewer_partitions_and_no_table_are_refused(broker: LocalKafka) -> None:
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    nothing = await asyncio.to_thread(asked, broker.bootstrap_servers)
    assert "there is no saga table yet" in nothing.stderr
    await ensure_topics(kafka, [Topic(STEPS_TOPIC, NEW), Topic(CHANGELOG, NEW)])
    fewer = await asyncio.to_thread(asked, broker.bootstrap_servers)
    assert (nothing.returncode, fewer.returncode) == (1, 1)
    assert "can only be given more" in fewer.stderr
