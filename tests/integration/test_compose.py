"""docker-compose.yml without Docker: every service of ours runs as a process, as the file says."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from saga import Publisher, ServiceSettings
from saga.local import LocalKafka
from schemas.orders import OrderLine, OrderPlaced
from services.orders.handlers import orders
from tests.integration.auditor import audit

pytestmark = [pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "kafka"}
BIN = Path(sys.executable).parent
WITHIN_SECONDS = 90


def test_the_four_services_two_trackers_and_kafka_are_there() -> None:
    assert set(SERVICES) == {"kafka", "orders", "inventory", "payments", "shipping", "tracker-1", "tracker-2"}
    assert SERVICES["kafka"]["image"] == "apache/kafka:4.3.0"
    assert all(service["build"] == "." for service in OURS.values())


@pytest.mark.parametrize("name", SERVICES)
def test_each_restarts_is_watched_and_waits_for_what_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    for volume in service.get("volumes", []):
        assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_the_dockerfile_copies_what_exists() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [words for line in lines if line.startswith("COPY ") for words in [line.split()[1:-1]]]
    for source in (word for words in copied if not words[0].startswith("--from") for word in words):
        assert (ROOT / source).exists(), source


def test_kafka_is_configured_as_ours_is_where_it_matters() -> None:
    environment = SERVICES["kafka"]["environment"]
    properties = {name.removeprefix("KAFKA_").lower().replace("_", "."): v for name, v in environment.items()}
    for name in ("offsets.topic", "transaction.state.log"):
        assert properties[f"{name}.replication.factor"] == "1"
    assert properties["auto.create.topics.enable"] == "false"


@pytest.fixture
def processes(kafka: LocalKafka, tmp_path: Path) -> Iterator[tuple[str, dict[str, subprocess.Popen[bytes]]]]:
    """Every service of ours, started with its command and environment against a broker of the test's."""
    with LocalKafka() as broker:
        running = {name: _start(service, broker, tmp_path, name) for name, service in OURS.items()}
        try:
            yield broker.bootstrap_servers, running
        finally:
            for process in running.values():
                if process.poll() is None:
                    process.kill()
                process.wait()


def _environment(service: dict[str, Any], bootstrap_servers: str, state: Path) -> dict[str, str]:
    given = {**service["environment"], "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers}
    if "SAGA_STATE_DIR" in given:
        given["SAGA_STATE_DIR"] = str(state)
    return {**os.environ, **given, "PATH": f"{BIN}:{os.environ['PATH']}"}


def _start(service: dict[str, Any], broker: LocalKafka, folder: Path, name: str) -> subprocess.Popen[bytes]:
    environment = _environment(service, broker.bootstrap_servers, folder / name)
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            _command(service["command"]), env=environment, cwd=ROOT, stdout=log, stderr=log
        )


def _command(command: list[str]) -> list[str]:
    return [str(BIN / command[0]), *command[1:]]


def _seconds(duration: str) -> int:
    found = re.fullmatch(r"(\d+)s", duration)
    assert found, duration
    return int(found[1])


@pytest.mark.kafka
async def test_an_order_goes_through_is_tracked_and_all_end_in_order(
    processes: tuple[str, dict[str, subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    servers, running = processes
    async with Publisher(orders, ServiceSettings(bootstrap_servers=servers)) as publisher:
        order = OrderPlaced(
            order_id="o-1", lines=[OrderLine(sku="a-1", quantity=1)], amount=20, card="4242-4242-4242-4242"
        )
        saga_id = await publisher.publish(order)
    async with asyncio.timeout(WITHIN_SECONDS):
        while "o-1" not in (await audit(servers)).orders("parcel.dispatched"):
            await asyncio.sleep(0.3)
        while "completed" not in await _saga("show", saga_id, servers):
            await asyncio.sleep(0.3)
        for name, service in OURS.items():
            check = _command(service["healthcheck"]["test"][1:])
            environment = _environment(service, servers, tmp_path / name)
            healthy = await asyncio.to_thread(subprocess.run, check, env=environment, cwd=ROOT, timeout=30)
            assert healthy.returncode == 0, name
    for name, process in running.items():
        assert process.poll() is None, (tmp_path / f"{name}.log").read_text()[-2000:]
        process.terminate()
    for name, process in running.items():
        code = await asyncio.to_thread(process.wait, _seconds(OURS[name]["stop_grace_period"]))
        assert code == 0, (tmp_path / f"{name}.log").read_text()[-2000:]


@pytest.mark.kafka
def test_a_service_that_does_not_run_is_not_healthy(bootstrap_servers: str) -> None:
    check = [str(BIN / "saga"), "health", "nobody", "--bootstrap-servers", bootstrap_servers]
    unhealthy = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert unhealthy.returncode == 1
    assert "the group nobody" in unhealthy.stderr
    assert "Traceback" not in unhealthy.stderr


async def _saga(command: str, argument: str, servers: str) -> str:
    shown = await asyncio.to_thread(
        subprocess.run,
        [str(BIN / "saga"), command, argument, "--bootstrap-servers", servers],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return shown.stdout
