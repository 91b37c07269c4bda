"""Flows on a real Kafka: published from a folder, followed by all trackers, shown by `saga flows`."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaProducer
from tests.flow_mistakes import FLOW_TEXT
from tests.waiting import until
from tracker.flow.record import FLOWS_TOPIC
from tracker.runtime.flows import FlowRegistry
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.topics import made_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

WITHIN_SECONDS = 20
COMMAND = Path(sys.executable).with_name("saga")


@pytest.fixture
def servers(kafka: LocalKafka) -> Iterator[str]:
    """A broker of the test's own: the topic has a fixed name. (`kafka` decides about skipping.)"""
    with LocalKafka() as broker:
        broker.start()
        asyncio.run(made_topics(TrackerSettings(bootstrap_servers=broker.bootstrap_servers)))
        yield broker.bootstrap_servers


@contextlib.asynccontextmanager
async def registry(servers: str, folder: Path | None = None) -> AsyncIterator[FlowRegistry]:
    settings = TrackerSettings(bootstrap_servers=servers, flows_dir=str(folder or ""))
    stop = asyncio.Event()
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        found = FlowRegistry(settings, producer)
        running = asyncio.create_task(found.run(stop))
        try:
            await asyncio.wait_for(found.ready(), WITHIN_SECONDS)
            yield found
        finally:
            stop.set()
            await running


def versions(found: FlowRegistry) -> list[str]:
    return sorted(f"{flow.name}@{flow.version}" for flow in found.flows)


async def eventually(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(until, condition, WITHIN_SECONDS)


async def publish(servers: str, key: str, value: bytes | None) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(FLOWS_TOPIC, value, key=key.encode())


def saga(servers: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments, "--bootstrap-servers", servers],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
    )


async def test_a_folder_is_published_and_known_at_once_to_whoever_starts_later(
    servers: str, tmp_path: Path
) -> None:
    (tmp_path / "order.yaml").write_text(FLOW_TEXT)

    async with registry(servers, tmp_path) as first:
        assert versions(first) == ["order@1"]
    async with registry(servers) as second:
        flow = second.flows.beginning("order.placed")
        assert flow is not None
        assert flow.source == FLOW_TEXT


async def test_a_new_version_is_followed_by_all_and_the_old_one_kept(servers: str, tmp_path: Path) -> None:
    file = tmp_path / "order.yaml"
    file.write_text(FLOW_TEXT)
    async with registry(servers, tmp_path) as ours, registry(servers) as other:
        before = other.flows
        file.write_text(FLOW_TEXT.replace("version: 1", "version: 2").replace("5s", "6s"))

        await eventually(lambda: versions(other) == ["order@1", "order@2"])
        assert other.flows is not before
        begun = other.flows.beginning("order.placed")
        assert begun is not None
        assert begun.version == 2
        await eventually(lambda: versions(ours) == ["order@1", "order@2"])
        file.unlink()
    async with registry(servers) as later:
        assert versions(later) == ["order@1", "order@2"]


async def test_the_same_version_with_another_meaning_is_refused_until_it_is_raised(
    servers: str, tmp_path: Path
) -> None:
    file = tmp_path / "order.yaml"
    file.write_text(FLOW_TEXT)
    async with registry(servers, tmp_path) as found:
        file.write_text(FLOW_TEXT.replace("5s", "6s"))

        await eventually(lambda: found.problems)
        (problem,) = found.problems[str(file)]
        assert problem.message == "order@1 says something else in this cluster: raise `version`"
        file.write_text("# as it was\n" + FLOW_TEXT)
        await eventually(lambda: not found.problems)
        assert versions(found) == ["order@1"]


async def test_a_broken_file_stops_no_other_and_is_told_once(
    servers: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("flow: [")
    async with registry(servers, tmp_path) as found:
        (tmp_path / "order.yaml").write_text(FLOW_TEXT)

        await eventually(lambda: versions(found) == ["order@1"])
        assert found.problems.keys() == {str(broken)}
        told = await asyncio.to_thread(saga, servers, "flows")
        assert f"{broken}:1:8: this is no YAML" in told.stderr
        assert caplog.text.count("is not followed") == 1
        broken.unlink()
        await eventually(lambda: not found.problems)
    assert json.loads(saga(servers, "flows", "--json").stdout)["problems"] == []


async def test_a_record_that_is_no_flow_is_quarantined(servers: str, tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text(FLOW_TEXT)
    async with registry(servers, tmp_path) as found:
        for key, value in {
            "cut@1": b'{"flow": "cut"',
            "wrong@1": json.dumps({"flow": "wrong", "version": 1, "text": "flow: wrong"}).encode(),
            "other@1": json.dumps({"flow": "other", "version": 1, "text": FLOW_TEXT}).encode(),
        }.items():
            await publish(servers, key, value)

        await eventually(lambda: found.problems.keys() == {"cut@1", "wrong@1", "other@1"})
        assert versions(found) == ["order@1"]
        await publish(servers, "cut@1", None)
        await eventually(lambda: "cut@1" not in found.problems)


async def test_the_later_of_two_publications_counts_for_all(servers: str, tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text(FLOW_TEXT)
    async with registry(servers, tmp_path) as found:
        text = FLOW_TEXT.replace("5s", "6s")
        await publish(servers, "order@1", json.dumps({"flow": "order", "version": 1, "text": text}).encode())

        await eventually(lambda: [flow.source for flow in found.flows] == [text])
        await eventually(lambda: str(tmp_path / "order.yaml") in found.problems)


async def test_operators_see_check_and_retire_flows(servers: str, tmp_path: Path) -> None:
    empty = await asyncio.to_thread(saga, servers, "flows")
    assert "there is no flow yet" in empty.stderr
    file = tmp_path / "order.yaml"
    file.write_text(FLOW_TEXT)
    async with registry(servers, tmp_path) as found:
        file.write_text(FLOW_TEXT.replace("version: 1", "version: 2").replace("5s", "6s"))
        await eventually(lambda: versions(found) == ["order@1", "order@2"])

        listed = json.loads((await asyncio.to_thread(saga, servers, "flows", "--json")).stdout)
        assert [(flow["version"], flow["state"]) for flow in listed["flows"]] == [(2, "newest"), (1, "older")]
        lines = (await asyncio.to_thread(saga, servers, "flows")).stdout.splitlines()
        assert [line.split()[:2] for line in lines] == [
            ["FLOW", "STATE"],
            ["order@2", "newest"],
            ["order@1", "older"],
        ]
        assert (await asyncio.to_thread(saga, servers, "flows", "show", "order@1")).stdout == FLOW_TEXT
        unknown = await asyncio.to_thread(saga, servers, "flows", "show", "ordr")
        assert (unknown.returncode, unknown.stderr) == (
            1,
            "saga: the cluster follows no flow ordr, but order@2, order@1; did you mean order?\n",
        )
        (tmp_path / "shop.yaml").write_text(FLOW_TEXT.replace("flow: order", "flow: shop"))
        (tmp_path / "order.yaml").unlink()
        await eventually(lambda: str(tmp_path / "shop.yaml") in found.problems)
        checked = await asyncio.to_thread(saga, servers, "check", str(tmp_path))
        assert checked.returncode == 1
        assert "`saga flows retire order` ends that" in checked.stdout
        retired = await asyncio.to_thread(saga, servers, "flows", "retire", "order")
        assert retired.returncode == 0, retired.stderr
        await eventually(lambda: "shop@1" in versions(found) and not found.problems)
        begun = found.flows.beginning("order.placed")
        assert begun is not None
        assert begun.name == "shop"
        assert found.flows.get("order", 1) is not None
