"""The endpoint of a real tracker: ready when it is, and right when it has read everything.

Its collector has a process of its own: what that one counts stands at the same endpoint, a second later.
"""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from saga.local import LocalKafka
from saga.local.port import free_port
from saga.runtime.kafka import Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.integration.processes import Process
from tests.integration.tracker_load import Load, audited

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

SETTLE_SECONDS = 60


async def answer(http: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    """Status and body; 0 as long as nobody listens."""
    try:
        async with http.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


async def until_ready(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(SETTLE_SECONDS):
        while (await answer(http, f"{url}/readyz"))[0] != 200:
            await asyncio.sleep(0.1)


async def total(http: aiohttp.ClientSession, url: str, name: str) -> float:
    """The sum of a metric over its labels."""
    families = text_string_to_metric_families((await answer(http, f"{url}/metrics"))[1])
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


async def differing(http: aiohttp.ClientSession, url: str, malformed: int) -> dict[str, float]:
    """What is not counted as it will be when all has been read; empty then."""
    read = await total(http, url, "saga_tracker_collected_records_total")
    folded = await total(http, url, "saga_tracker_steps_total")
    timed = await total(http, url, "saga_tracker_visibility_delay_seconds_count")
    found = {
        "orphans": await total(http, url, "saga_orphan_events_total") - malformed,
        "folded": folded - (read - malformed),
        "timed": 0 if folded <= timed <= read else timed - read,
        "behind": await total(http, url, "saga_tracker_lag_records"),
        "dirty": await total(http, url, "saga_tracker_dirty_sagas"),
    }
    return {name: by for name, by in found.items() if by}


async def test_what_is_counted_is_what_was_published(
    broker: LocalKafka, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    load = Load(broker.bootstrap_servers, "metered", seed=1)
    await load.prepare()
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        await ensure_topics(
            KafkaSettings(bootstrap_servers=broker.bootstrap_servers), [Topic("saga.dlq.mail", 2)]
        )
        await producer.send_and_wait("saga.dlq.mail", b"a letter")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    tracker = Process(
        ["tracker.runtime.worker"],
        {
            "SAGA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "SAGA_STATE_DIR": str(tmp_path / "state"),
            "SAGA_METRICS_PORT": str(port),
            "SAGA_SOURCES_INTERVAL_MS": "200",
            "SAGA_PROCESSES": "2",
        },
        tmp_path / "tracker.log",
    )
    tracker.start()
    try:
        await until_ready(http, url)
        assert (await answer(http, f"{url}/healthz"))[0] == 200
        await load.publish(200)
        await audited(load, SETTLE_SECONDS)

        async with asyncio.timeout(SETTLE_SECONDS):
            while wrong := await differing(http, url, load.malformed):
                await asyncio.sleep(0.1)
                print(wrong)
        assert await total(http, url, "saga_collector_process_cpu_seconds_total") > 0
        assert await total(http, url, "saga_dead_letters") == 1
    finally:
        tracker.end()
        print(tracker.output()[-5_000:])


async def test_a_port_that_is_taken_is_told(broker: LocalKafka, tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        tracker = Process(
            ["tracker.runtime.worker"],
            {
                "SAGA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
                "SAGA_STATE_DIR": str(tmp_path / "state"),
                "SAGA_METRICS_PORT": str(port),
            },
            tmp_path / "tracker.log",
        )
        tracker.start()
        assert await asyncio.to_thread(tracker.running.wait, 30) == 1
    assert f"metrics can't be served at 127.0.0.1:{port}" in tracker.output()
