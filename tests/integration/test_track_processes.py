"""`saga track` with its collector in a process of its own: who lives, who dies, and what is said then."""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaProducer

from saga.local import LocalKafka
from saga.local.port import free_port
from tests.integration.processes import Process, tracker_process
from tests.integration.tracker_load import Load, audited
from tests.waiting import until
from tracker.core.lag import SourceLag
from tracker.core.watermark import Source
from tracker.runtime.announcements import Announcements
from tracker.runtime.child import CollectorEnded, CollectorProcess
from tracker.runtime.collecting import Telling
from tracker.runtime.collector import Collector, source_consumer
from tracker.runtime.figures import Figures
from tracker.runtime.flows import FlowRegistry
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.settings import TrackerSettings

pytestmark = pytest.mark.timeout(180)

PATIENCE_SECONDS = 60


@pytest.fixture
def nowhere() -> str:
    """Where no Kafka is."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def tracking(nowhere: str, tmp_path: Path) -> Iterator[Process]:
    """One that waits for Kafka, and has a collector that waits as well."""
    settings = {
        "SAGA_BOOTSTRAP_SERVERS": nowhere,
        "SAGA_STATE_DIR": str(tmp_path / "state"),
        "SAGA_PROCESSES": "2",
    }
    process = Process(["saga.cli", "track"], settings, tmp_path / "track.log")
    process.start()
    yield process
    process.end()
    print(process.output())


def collectors(tracking: Process) -> list[psutil.Process]:
    """Those of its children that have got as far as being one: libraries ask other programs at times."""
    found = []
    for child in psutil.Process(tracking.running.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "tracker.runtime.collecting" in child.cmdline():
                found.append(child)
    return found


def the_collector(tracking: Process) -> psutil.Process:
    until(lambda: collectors(tracking), PATIENCE_SECONDS, what="a collector")
    [child] = collectors(tracking)
    return child


def test_a_tracker_that_is_killed_takes_its_collector_with_it(tracking: Process) -> None:
    child = the_collector(tracking)
    tracking.kill()
    until(lambda: not child.is_running(), PATIENCE_SECONDS, what="the collector ends")


def test_a_tracker_that_is_told_to_end_ends_its_collector_first(tracking: Process) -> None:
    child = the_collector(tracking)
    until(lambda: tracking.has_said("[collector]"), PATIENCE_SECONDS, what="both are at work")
    assert tracking.stop() == 0
    assert not child.is_running()
    assert tracking.output().splitlines()[-1].endswith("stopped")
    assert "by itself" not in tracking.output()


def test_a_collector_that_dies_is_started_again(tracking: Process) -> None:
    child = the_collector(tracking)
    child.kill()
    until(lambda: tracking.has_said("ended by itself (SIGKILL)"), PATIENCE_SECONDS)
    assert the_collector(tracking).pid != child.pid
    assert tracking.running.poll() is None


async def test_a_collector_that_can_not_go_on_says_why(nowhere: str) -> None:
    settings = TrackerSettings(bootstrap_servers=nowhere, connect_timeout_seconds=0.1)
    collector = CollectorProcess(settings, Figures())
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(CollectorEnded, match=re.escape(nowhere)):
            await collector.run(asyncio.Event())
    assert not collector.pid
    assert not collector.ready


async def test_a_collector_whose_group_has_not_met_yet_has_read_nothing(nowhere: str) -> None:
    """Somebody may ask at any moment. What went wrong here ended the telling of one start in five."""
    settings = TrackerSettings(bootstrap_servers=nowhere)
    consumer, producer = source_consumer(settings), AIOKafkaProducer(bootstrap_servers=nowhere)
    announcements = Announcements(settings)
    known = Knowledge(announcements, FlowRegistry(settings, producer))
    collector = Collector(settings, 8, consumer, producer, announcements, known, Figures())
    try:
        assert collector.lags() == {}
        consumer.subscribe(["subscribed"])
        assert collector.lags() == {}
    finally:
        await consumer.stop()
        await producer.stop()


async def test_a_process_that_can_not_tell_its_figures_does_not_go_on_in_silence() -> None:
    class Broken:
        ready = True

        def lags(self) -> Mapping[Source, SourceLag]:
            raise RuntimeError("no lags")

    figures = Figures("collector")
    figures.collects(Broken())
    listening, pipe = os.pipe()
    with os.fdopen(listening, "rb"), os.fdopen(pipe, "wb"), pytest.raises(RuntimeError, match="no lags"):
        await Telling(figures, pipe).run(asyncio.Event())
    # Its descriptor is free again, for a connection to Kafka as well.
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    for left, right in [socket.socketpair() for _ in range(3)]:
        with left, right:
            left.setblocking(False)
            loop.add_reader(left, lambda: None)
            loop.remove_reader(left)


@pytest.mark.kafka
async def test_events_are_tracked_through_the_death_of_a_collector(
    broker: LocalKafka, tmp_path: Path
) -> None:
    load = Load(broker.bootstrap_servers, "apart", seed=1)
    await load.prepare()
    tracker = tracker_process(broker.bootstrap_servers, tmp_path, SAGA_PROCESSES="2")
    tracker.start()
    try:
        await load.publish(50)
        await audited(load, PATIENCE_SECONDS)
        (await asyncio.to_thread(the_collector, tracker)).kill()
        await load.publish(50)
        await audited(load, PATIENCE_SECONDS)
        assert await asyncio.to_thread(tracker.stop) == 0
    finally:
        tracker.end()
        print(tracker.output()[-10_000:])
