"""The alarm that the tracker is behind: raised without any tracker, once, by whoever watches."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from msgspec import json

from saga.local import LocalKafka
from saga.runtime.kafka import Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.integration.processes import Process
from tests.integration.tracker_load import Load, audited, read
from tracker.core.frame import STEPS_TOPIC, encode_frame
from tracker.core.lag import SourceLag, worst
from tracker.runtime.lag import Lags
from tracker.runtime.settings import WatchSettings
from tracker.runtime.watch import Watch

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

SETTLE_SECONDS = 60
PROMPT = WatchSettings(lag_alert_ms=1_000, lag_alert_after_ms=300, lag_interval_ms=100)


@pytest.fixture
def settings(broker: LocalKafka) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=broker.bootstrap_servers)


@asynccontextmanager
async def watching(settings: KafkaSettings) -> AsyncIterator[None]:
    """As in every tracker and every `saga webhooks`."""
    stop = asyncio.Event()
    task = asyncio.create_task(Watch(settings, PROMPT).run(stop))
    try:
        yield
        assert not task.done()
    finally:
        stop.set()
        await task


async def told(settings: KafkaSettings, group: str) -> list[str]:
    """The cause of each alert about this group, in their order."""
    alerts = [json.decode(record.value) for record in await read(settings.bootstrap_servers, "saga.alerts")]
    return [alert["cause"] for alert in sorted(alerts, key=_at_ms) if alert["key"] == group]


def _at_ms(alert: dict[str, int]) -> int:
    return alert["at_ms"]


async def until_told(settings: KafkaSettings, group: str, *expected: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while (found := await told(settings, group)) != list(expected):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


async def test_dead_trackers_are_told_of_once_and_so_is_their_return(
    broker: LocalKafka, settings: KafkaSettings, tmp_path: Path
) -> None:
    load = Load(broker.bootstrap_servers, "watched", seed=1)
    await load.prepare()
    environment = {
        "SAGA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "SAGA_STATE_DIR": str(tmp_path / "state"),
        "SAGA_SESSION_TIMEOUT_MS": "2000",
    }
    # The first one tells nothing of its own beginning; the second one watches like the others, since
    # it may be the one that Kafka has watch.
    tracker = Process(
        ["tracker.runtime.worker"], environment | {"SAGA_LAG_INTERVAL_MS": "3600000"}, tmp_path / "dead.log"
    )
    successor = Process(
        ["tracker.runtime.worker"],
        environment
        | {
            f"SAGA_{name.upper()}": str(value)
            for name, value in PROMPT.model_dump(exclude_unset=True).items()
        },
        tmp_path / "successor.log",
    )
    tracker.start()
    try:
        await load.publish(20)
        await audited(load, SETTLE_SECONDS)
        tracker.kill()
        await load.publish(20)
        async with watching(settings):
            await until_told(settings, "saga-collector", "tracker-behind")
        async with watching(settings), watching(settings):  # others go on where that one was
            successor.start()
            await audited(load, SETTLE_SECONDS)
            await until_told(settings, "saga-collector", "tracker-behind", "tracker-caught-up")
    finally:
        tracker.end()
        successor.end()
        print(tracker.output()[-5_000:], successor.output()[-5_000:])


async def test_frames_that_nobody_folds_are_told_of(settings: KafkaSettings) -> None:
    await ensure_topics(settings, [Topic(STEPS_TOPIC, 2)])
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for number in range(3):
            await producer.send_and_wait(STEPS_TOPIC, encode_frame({}, []), partition=number % 2)
    async with watching(settings):
        await until_told(settings, "saga-tracker", "tracker-behind")


async def test_what_is_left_of_a_transaction_is_no_lag(settings: KafkaSettings) -> None:
    """Its end has an offset, and nobody can read it."""
    await ensure_topics(settings, [Topic(STEPS_TOPIC, 1)])
    now_ms = time.time_ns() // 1_000_000
    servers = settings.bootstrap_servers
    async with (
        AIOKafkaProducer(bootstrap_servers=servers, transactional_id="t") as producer,
        Lags(settings) as lags,
    ):
        await producer.begin_transaction()
        await producer.send_and_wait(STEPS_TOPIC, b"aborted", partition=0)
        assert worst((await lags.of_trackers(now_ms)).values()).records == 0  # nor is an open one
        await producer.abort_transaction()
        for _ in range(2):
            assert await lags.of_trackers(now_ms) == {(STEPS_TOPIC, 0): SourceLag(0, 0.0)}
        async with producer.transaction():
            sent = await producer.send_and_wait(STEPS_TOPIC, b"committed", partition=0)
        assert (await lags.of_trackers(sent.timestamp + 5_000))[STEPS_TOPIC, 0].seconds == 5.0
