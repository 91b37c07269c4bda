"""The tracker as a process: what is published ends in the saga table, whatever is killed meanwhile."""

import asyncio
import os
import random
import shutil
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from saga.local import LocalKafka
from tests.integration.processes import Process
from tests.integration.stranger import stranger
from tests.integration.tracker_load import (
    CHANGELOG,
    Load,
    audited,
    differences,
    disk,
    headers,
    read,
    table,
    watermarks,
)
from tests.waiting import until
from tracker.core.saga import TRACKER_GROUP

KILLS = int(os.environ.get("SAGA_TEST_KILLS", "10"))

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(200 + 10 * KILLS)]

SETTLE_SECONDS = 60
SESSION_MS = 2_000
STOP_SECONDS_MAX = 10


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("SAGA_TEST_SEED") or random.randrange(1_000_000))


@pytest.fixture
def load(broker: LocalKafka, seed: int) -> Load:
    return Load(broker.bootstrap_servers, f"t{seed}", seed)


class Trackers:
    """Tracker processes, each with a state folder of its own."""

    def __init__(self, bootstrap_servers: str, folder: Path, count: int = 1, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folders = [folder / f"state-{number}" for number in range(count)]
        self.processes = [
            Process(
                ["tracker.runtime.worker"],
                {
                    "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
                    "SAGA_STATE_DIR": str(state),
                    "SAGA_SESSION_TIMEOUT_MS": str(SESSION_MS),
                    "SAGA_SOURCES_INTERVAL_MS": "200",
                    **settings,
                },
                folder / f"tracker-{number}.log",
            )
            for number, state in enumerate(self.folders)
        ]

    def __enter__(self) -> "Trackers":
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for number, process in enumerate(self.processes):
            process.end()
            print(f"--- tracker {number}\n{process.output()[-20_000:]}")


def stopped(process: Process) -> int:
    """Exit code of a tracker that is told to end; one that has just been started gets to its feet first."""
    handles_sigterm = Path(f"/proc/{process.running.pid}/status")
    until(lambda: _catches_sigterm(handles_sigterm.read_text()), 10, what="a handler of SIGTERM")
    return process.stop()


def _catches_sigterm(status: str) -> bool:
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


async def test_what_is_published_ends_in_the_table_and_on_disk(load: Load, tmp_path: Path) -> None:
    await load.prepare()
    with Trackers(load.bootstrap_servers, tmp_path) as trackers:
        await load.publish(300)
        await audited(load, SETTLE_SECONDS)
        begun = time.monotonic()
        assert await asyncio.to_thread(trackers.processes[0].stop) == 0
        assert time.monotonic() - begun < STOP_SECONDS_MAX
        assert disk(trackers.folders[0]) == await table(load.bootstrap_servers)


async def test_collectors_and_trackers_may_be_processes_of_their_own(load: Load, tmp_path: Path) -> None:
    await load.prepare()
    with (
        Trackers(load.bootstrap_servers, tmp_path / "a", SAGA_PARTS="collector") as collectors,
        Trackers(load.bootstrap_servers, tmp_path / "b", SAGA_PARTS="tracker") as trackers,
    ):
        await load.publish(300)
        await audited(load, SETTLE_SECONDS)
        assert not list(collectors.folders[0].rglob("*.db")), "a collector keeps nothing"
        for process in (collectors.processes[0], trackers.processes[0]):
            assert await asyncio.to_thread(stopped, process) == 0
        assert disk(trackers.folders[0]) == await table(load.bootstrap_servers)


async def test_a_topic_announced_while_running_is_read(load: Load, tmp_path: Path) -> None:
    await load.prepare()
    with Trackers(load.bootstrap_servers, tmp_path):
        await load.publish(5)
        await audited(load, SETTLE_SECONDS)
        later = Load(load.bootstrap_servers, f"{load.prefix}-later", load.seed)
        await later.prepare()
        await later.publish(5)
        await audited(later, 5)


@pytest.mark.parametrize("wiped", [False, True], ids=["disk kept", "disk wiped"])
async def test_kills_lose_nothing(load: Load, tmp_path: Path, seed: int, wiped: bool) -> None:
    chance = random.Random(seed)
    await load.prepare()
    with Trackers(load.bootstrap_servers, tmp_path) as trackers:
        publishing = asyncio.create_task(load.publish(200 * KILLS, per_second=80))
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.3, 5))  # when it is killed is what this is about
            trackers.processes[0].kill()
            if wiped:
                shutil.rmtree(trackers.folders[0], ignore_errors=True)
            trackers.processes[0].start()
        await publishing
        await load.publish(20)  # to be seen only after the table is recovered
        await audited(load, SETTLE_SECONDS)
        assert await asyncio.to_thread(stopped, trackers.processes[0]) == 0
        assert disk(trackers.folders[0]) == await table(load.bootstrap_servers)


@pytest.mark.parametrize(("count", "standby"), [(2, False), (3, True)], ids=["two", "three with copies"])
async def test_several_trackers_of_which_one_is_killed_again_and_again(
    load: Load, tmp_path: Path, seed: int, count: int, standby: bool
) -> None:
    chance = random.Random(seed)
    await load.prepare()
    with Trackers(load.bootstrap_servers, tmp_path, count, SAGA_STANDBY=str(standby)) as trackers:
        publishing = asyncio.create_task(load.publish(200 * KILLS, per_second=80))
        for _ in range(KILLS // 2):
            await asyncio.sleep(chance.uniform(2, 7))
            number = chance.randrange(count)
            trackers.processes[number].kill()
            if chance.random() < 0.3:
                shutil.rmtree(trackers.folders[number], ignore_errors=True)
            await asyncio.sleep(chance.uniform(0, 3))
            trackers.processes[number].start()
        await publishing
        await audited(load, SETTLE_SECONDS)
        for process in trackers.processes:
            assert await asyncio.to_thread(stopped, process) == 0


async def test_a_tracker_paused_beyond_its_session_does_no_harm(
    load: Load, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    await load.prepare()
    with Trackers(load.bootstrap_servers, tmp_path, count=2) as trackers:
        publishing = asyncio.create_task(load.publish(1_500, per_second=60))
        for _ in range(3):
            await asyncio.sleep(chance.uniform(2, 6))
            paused = trackers.processes[chance.randrange(2)]
            paused.pause()
            await asyncio.sleep(SESSION_MS / 1000 + chance.uniform(0.5, 2))
            paused.resume()
        await publishing
        await audited(load, SETTLE_SECONDS)


async def test_a_broker_that_is_lost_comes_back(broker: LocalKafka, load: Load, tmp_path: Path) -> None:
    await load.prepare()
    with Trackers(broker.bootstrap_servers, tmp_path) as trackers:
        await load.publish(100)
        await audited(load, SETTLE_SECONDS)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        await load.publish(100)
        await audited(load, SETTLE_SECONDS)
        assert await asyncio.to_thread(stopped, trackers.processes[0]) == 0


async def test_a_tracker_that_its_group_does_not_take_in_tries_again_until_it_does(
    load: Load, tmp_path: Path
) -> None:
    await load.prepare()
    async with AsyncExitStack() as before:
        await before.enter_async_context(stranger(load.bootstrap_servers, TRACKER_GROUP, load.topics[0]))
        with Trackers(load.bootstrap_servers, tmp_path) as trackers:
            [tracker] = trackers.processes
            again = "starts again in 1 s"
            await asyncio.to_thread(until, lambda: again in tracker.output(), SETTLE_SECONDS, what=again)
            assert "InconsistentGroupProtocolError" in tracker.output()
            await before.aclose()
            await load.publish(20)
            await audited(load, SETTLE_SECONDS)


async def test_frames_and_rows_that_cannot_be_read_are_reported_and_left_out(
    load: Load, tmp_path: Path
) -> None:
    await load.prepare()
    with Trackers(load.bootstrap_servers, tmp_path) as trackers:
        await load.publish(10)
        await audited(load, SETTLE_SECONDS)
        assert await asyncio.to_thread(stopped, trackers.processes[0]) == 0
        shutil.rmtree(trackers.folders[0])
        async with (
            AIOKafkaProducer(bootstrap_servers=load.bootstrap_servers) as producer,
            AIOKafkaProducer(bootstrap_servers=load.bootstrap_servers, transactional_id="odd") as odd,
        ):
            # In a transaction: its marker leaves a gap in the offsets, which frames do not have.
            async with odd.transaction():
                for value in (b"\xc1", b"", b"\x93\x63\x90\x80", None):
                    await odd.send_and_wait("saga.steps", value, key=b"k", partition=0)
            spoilt = f"{load.prefix}-spoilt"
            for partition in range(8):
                await producer.send_and_wait(CHANGELOG, b"\xc1", key=spoilt.encode(), partition=partition)
            event = headers(spoilt, "e", "type-0")
            trackers.processes[0].start()
            await producer.send_and_wait(load.topics[0], b"{}", headers=event)
        known = {spoilt: {"e": ("type-0", "")}}
        deadline = time.monotonic() + SETTLE_SECONDS
        while differences(known, await _readable(load.bootstrap_servers)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        output = trackers.processes[0].output
        await asyncio.to_thread(until, lambda: "no frames from" in output(), 10, what="the gap is reported")
        assert output().count("is no frame and is skipped") >= 4
        assert output().count("is no saga") == 8, "once a partition"
    assert [record.value for record in await read(load.bootstrap_servers, "saga.dlq.tracker")] == [
        b"\xc1"
    ] * 8
    alerts = [dict(record.headers)["ce_type"] for record in await read(load.bootstrap_servers, "saga.alerts")]
    assert alerts == [b"saga.alert.unreadable-row"] * 8


async def _readable(bootstrap_servers: str) -> dict[str, bytes]:
    return {key: row for key, row in (await table(bootstrap_servers)).items() if row != b"\xc1"}


async def test_a_second_tracker_in_the_same_state_folder_is_refused(load: Load, tmp_path: Path) -> None:
    await load.prepare()
    with Trackers(load.bootstrap_servers, tmp_path) as trackers:
        await asyncio.to_thread(until, (trackers.folders[0] / "lock").exists, 10)
        other = Process(
            ["tracker.runtime.worker"],
            {"SAGA_BOOTSTRAP_SERVERS": load.bootstrap_servers, "SAGA_STATE_DIR": str(trackers.folders[0])},
            tmp_path / "other.log",
        )
        other.start()
        assert await asyncio.to_thread(other.running.wait, 20) == 1
        assert "--state-dir" in other.output()


async def test_time_stands_still_where_a_transaction_is_open(load: Load, tmp_path: Path) -> None:
    topic = load.topics[0]
    await load.prepare()
    with Trackers(load.bootstrap_servers, tmp_path):
        await load.publish(5)
        await audited(load, SETTLE_SECONDS)
        options = {"bootstrap_servers": load.bootstrap_servers, "transactional_id": "open"}
        async with AIOKafkaProducer(**options) as producer:
            await producer.begin_transaction()
            begun_ms = time.time() * 1000
            await producer.send_and_wait(topic, b"{}", headers=headers("s", "e", "k"), partition=1)
            await _watermark_beyond(load, (topic, 0), begun_ms + 3_000)
            assert (await watermarks(load.bootstrap_servers))[topic, 1] < begun_ms + 500
            await producer.commit_transaction()
            await _watermark_beyond(load, (topic, 1), begun_ms + 3_000)
            latest = (await watermarks(load.bootstrap_servers)).values()
            assert max(latest) <= time.time() * 1000


async def _watermark_beyond(load: Load, source: tuple[str, int], at_ms: float) -> None:
    deadline = time.monotonic() + 20
    while (await watermarks(load.bootstrap_servers)).get(source, 0) <= at_ms:
        assert time.monotonic() < deadline, f"seed {load.seed}: the watermark of {source} stands still"
        await asyncio.sleep(0.2)
