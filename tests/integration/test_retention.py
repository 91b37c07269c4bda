"""Sagas leave a real tracker, its disk and its changelog, and topics read again do not bring them back."""

import asyncio
import collections
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from saga.local import LocalKafka
from saga.local.port import free_port
from tests.integration.test_metrics import total, until_ready
from tests.integration.test_tracker import Trackers
from tests.integration.tracker_load import CHANGELOG, RECEIPTS, Load, disk, read, table
from tracker.core.lag import COLLECTOR_GROUP

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SAGAS = 50
RETENTION_SECONDS = 15
LEFT_SECONDS_MAX = 90


async def test_what_has_ended_leaves_and_is_not_begun_anew_when_all_is_read_again(
    broker: LocalKafka, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    servers = broker.bootstrap_servers
    load = Load(servers, "leaving", seed=5)
    await load.prepare()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    days = str(RETENTION_SECONDS / 86_400)
    with Trackers(servers, tmp_path, SAGA_RETENTION_DAYS=days, SAGA_METRICS_PORT=str(port)) as trackers:
        await load.publish(SAGAS)
        async with asyncio.timeout(LEFT_SECONDS_MAX):
            while not _have_left(written := await _written(servers), load.truth.keys()):
                await asyncio.sleep(0.5)
        assert all(values[0] is not None for values in written.values())
        assert await table(servers) == {}
        assert await total(http, url, "saga_tracker_left_sagas_total") == SAGAS
        assert await asyncio.to_thread(trackers.processes[0].stop) == 0
        assert disk(trackers.folders[0]) == {}

        await _set_back(servers, [*load.topics, RECEIPTS])
        facts = 2 * sum(map(len, load.truth.values()))  # events, receipts, and some events twice
        trackers.processes[0].start()
        await until_ready(http, url)
        async with asyncio.timeout(LEFT_SECONDS_MAX):
            while await total(http, url, "saga_orphan_events_total") < facts + load.malformed:
                await asyncio.sleep(0.2)
        assert await table(servers) == {}
        assert "is older than ended sagas are kept" in trackers.processes[0].output()


def _have_left(written: Mapping[str, Sequence[bytes | None]], sagas: AbstractSet[str]) -> bool:
    """Whether all of them were written, and then removed."""
    return written.keys() >= sagas and all(values[-1] is None for values in written.values())


async def _written(bootstrap_servers: str) -> dict[str, list[bytes | None]]:
    """All that was ever written of each saga, as long as nothing is compacted."""
    found: dict[str, list[bytes | None]] = collections.defaultdict(list)
    for record in await read(bootstrap_servers, CHANGELOG):
        if b"\0" not in record.key:
            found[record.key.decode()].append(record.value)
    return found


async def _set_back(bootstrap_servers: str, topics: Sequence[str]) -> None:
    """Have the collectors read these topics from the beginning."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=COLLECTOR_GROUP) as consumer:
        for topic in topics:
            await consumer._client.add_topic(topic)
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            consumer.assign(partitions)
            await consumer.commit(dict.fromkeys(partitions, 0))
