"""`saga status` from a shell: well, behind, held up by an open transaction, and without Kafka."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from saga.local import LocalKafka
from saga.local.port import free_port
from tests.integration.processes import Process, tracker_process
from tests.integration.tracker_load import Load, audited, headers
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SETTLE_SECONDS = 60


@pytest.fixture
def tracker(broker: LocalKafka, tmp_path: Path) -> Iterator[Process]:
    process = tracker_process(broker.bootstrap_servers, tmp_path)
    yield process
    process.end()
    print(process.output()[-5_000:])


def asked(servers: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("saga")),
        "status",
        "--bootstrap-servers",
        servers,
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def until_status(servers: str, code: int, seen: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The status once it has this exit code and is seen like that."""

    def look() -> dict[str, Any] | None:
        answer = asked(servers, "--json", "--behind", "2s")
        print(answer)  # for whoever reads why it was never seen like that
        found: dict[str, Any] = json.loads(answer.stdout) if answer.stdout else {}
        return found if answer.returncode == code and seen(found) else None

    return await asyncio.to_thread(until, look, SETTLE_SECONDS)


async def test_a_tracker_that_keeps_up_one_that_is_held_up_and_one_that_is_dead(
    broker: LocalKafka, tracker: Process
) -> None:
    servers = broker.bootstrap_servers
    load = Load(servers, "status", seed=1)
    await load.prepare()
    tracker.start()
    await load.publish(50)
    await audited(load, SETTLE_SECONDS)

    well = await until_status(servers, 0, lambda health: health["well"])
    assert well["groups"][0]["lag_records"] == 0
    assert [len(group["members"]) for group in well["groups"]] == [1, 1]
    assert {source["topic"] for source in well["sources"]} == {*load.topics, "saga.receipts", "saga.commands"}
    assert well["time_behind_ms"] < 5_000
    plain = await asyncio.to_thread(asked, servers)
    assert plain.returncode == 0
    assert "the tracker keeps up" in plain.stdout

    topic = load.topics[0]
    async with (
        AIOKafkaProducer(bootstrap_servers=servers, transactional_id="slow") as producer,
        producer.transaction(),
    ):
        await producer.send_and_wait(topic, b"{}", headers=headers("s-1", "e-1", "begun"), partition=1)
        held = await until_status(
            servers, 1, lambda health: any(source["held_up_by"] for source in health["sources"])
        )
    holding = [source for source in held["sources"] if source["held_up_by"]]
    assert [(s["topic"], s["partition"], s["held_up_by"]) for s in holding] == [
        (topic, 1, "open transaction")
    ]
    [problem] = held["problems"]
    assert problem.startswith("time is held up for ")
    assert problem.endswith(f" s by {topic}-1: open transaction")

    await until_status(servers, 0, lambda health: health["well"])
    tracker.kill()
    await load.publish(10)
    dead = await until_status(
        servers, 1, lambda health: not any(group["members"] for group in health["groups"])
    )
    assert "saga-tracker has no members: start `saga track`" in dead["problems"]
    assert dead["groups"][0]["lag_records"] > 0


def test_without_kafka_it_says_so_with_another_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_CONNECT_TIMEOUT_SECONDS", "1")
    answer = asked(f"127.0.0.1:{free_port()}")
    assert answer.returncode == 2
    assert answer.stderr.startswith("saga: no Kafka answers at")


def test_on_a_cluster_that_no_tracker_has_seen_there_is_no_health(broker: LocalKafka) -> None:
    answer = asked(broker.bootstrap_servers)
    assert answer.returncode == 1
    assert "saga-collector has no members: start `saga track`" in answer.stdout
