"""docker-compose.yml without Docker: every service of ours runs as a process, as the file says."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from saga import Publisher, ServiceSettings
from saga.local import LocalKafka
from saga.local.port import free_port
from schemas.orders import OrderLine, OrderPlaced
from services.orders.handlers import orders
from tests.databases import database
from tests.integration.auditor import audit

pytestmark = [pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name not in ("kafka", "postgres")}
BIN = Path(sys.executable).parent
WITHIN_SECONDS = 150


def test_the_services_two_trackers_the_dashboard_and_what_they_need_are_there() -> None:
    assert set(SERVICES) == {
        *("orders", "inventory", "payments", "shipping"),
        *("tracker-1", "tracker-2", "projector", "dashboard", "kafka", "postgres"),
    }
    assert SERVICES["kafka"]["image"] == "apache/kafka:4.3.0"
    assert SERVICES["postgres"]["image"] == "postgres:18"
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


def test_kafkas_health_check_asks_the_script_of_its_image_at_an_address_it_has() -> None:
    script, option, address = SERVICES["kafka"]["healthcheck"]["test"][1:]
    assert script == "/opt/kafka/bin/kafka-broker-api-versions.sh"
    assert option == "--bootstrap-server"
    assert f"://{address}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


@dataclass
class Running:
    """What docker-compose.yml starts, as processes: addresses there and here, and the processes of ours."""

    ports: dict[str, str]
    database: str
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]]
    token: str = ""

    @property
    def bootstrap_servers(self) -> str:
        return self.here(next(iter(OURS.values()))["environment"]["SAGA_BOOTSTRAP_SERVERS"])

    def here(self, text: str) -> str:
        """Addresses in containers as addresses of this machine."""
        return _here(text, self.ports)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-2000:]


@pytest.fixture
def running(kafka: LocalKafka, tmp_path: Path) -> Iterator[Running]:
    """Everything of the file: Kafka with its properties, ours with their commands and environments."""
    ports = {port: str(free_port()) for port in ("19092", "9092", "9093", "9465", "8080")}
    with (
        database("postgresql") as url,
        LocalKafka(tmp_path / "kafka", port=int(ports["9092"]), properties=_properties(ports)),
    ):
        started = Running(ports, url, tmp_path, {})
        try:
            _add_first_user(started)
            started.token = _new_token(started)
            for name, service in OURS.items():
                started.processes[name] = _start(started, name, service)
            yield started
        finally:
            for process in started.processes.values():
                if process.poll() is None:
                    process.kill()
                process.wait()


def _properties(ports: dict[str, str]) -> dict[str, str]:
    """The environment of Kafka's container as the image makes properties of it."""
    environment = dict(SERVICES["kafka"]["environment"])
    volume = environment.pop("KAFKA_LOG_DIRS")
    assert any(place.endswith(f":{volume}") for place in SERVICES["kafka"]["volumes"])
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): _here(value, ports)
        for name, value in environment.items()
    }


def _here(text: str, ports: dict[str, str]) -> str:
    """No names and fixed ports: `INTERNAL://kafka:19092` becomes `INTERNAL://127.0.0.1:23456`."""
    return re.sub(
        r"(?:\b(?:kafka|localhost)|(?<=//)):(\d+)", lambda found: f"127.0.0.1:{ports[found[1]]}", text
    )


def _environment(running: Running, name: str) -> dict[str, str]:
    given = {key: running.here(value) for key, value in OURS[name]["environment"].items()}
    if "SAGA_DATABASE" in given:
        postgres = SERVICES["postgres"]["environment"]
        assert given["SAGA_DATABASE"] == "postgresql+psycopg://{}:{}@postgres/{}".format(
            *(postgres[f"POSTGRES_{name}"] for name in ("USER", "PASSWORD", "DB"))
        )
        given["SAGA_DATABASE"] = running.database
    if "SAGA_ACCESS_USERS_FILE" in given:
        mounted = str(Path(given["SAGA_ACCESS_USERS_FILE"]).parent)
        assert any(place.endswith(f":{mounted}") for place in OURS[name]["volumes"])
        given["SAGA_ACCESS_USERS_FILE"] = str(running.folder / "users")
    if "SAGA_STATE_DIR" in given:
        assert any(place.endswith(f":{given['SAGA_STATE_DIR']}") for place in OURS[name]["volumes"])
        given["SAGA_STATE_DIR"] = str(running.folder / name)
    if "SAGA_METRICS_PORT" in given:
        assert given["SAGA_METRICS_PORT"] in OURS[name]["expose"]
        # Containers have addresses of their own, processes not.
        given["SAGA_METRICS_PORT"] = running.ports.get(given["SAGA_METRICS_PORT"]) or str(free_port())
    return {**os.environ, **given, "PATH": f"{BIN}:{os.environ['PATH']}"}


def _add_first_user(running: Running) -> None:
    """As the file says in its beginning."""
    _administer(
        running,
        *("users", "add", "ada", "--role", "admin", "--password-stdin"),
        given="correct horse battery staple",
    )


def _new_token(running: Running) -> str:
    return _administer(running, "tokens", "create", "test", "--role", "viewer", "--reason", "a test").strip()


def _administer(running: Running, *arguments: str, given: str = "") -> str:
    """What `saga` prints where the dashboard runs."""
    done = subprocess.run(
        [str(BIN / "saga"), *arguments],
        env=_environment(running, "dashboard"),
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _start(running: Running, name: str, service: dict[str, Any]) -> subprocess.Popen[bytes]:
    with (running.folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [running.ports.get(word, word) for word in _command(service["command"])],
            env=_environment(running, name),
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )


def _command(command: list[str]) -> list[str]:
    return [str(BIN / command[0]), *command[1:]]


def _seconds(duration: str) -> int:
    found = re.fullmatch(r"(\d+)s", duration)
    assert found, duration
    return int(found[1])


@pytest.mark.kafka
async def test_an_order_goes_through_is_tracked_and_all_end_in_order(running: Running) -> None:
    servers = running.bootstrap_servers
    async with Publisher(orders, ServiceSettings(bootstrap_servers=servers)) as publisher:
        order = OrderPlaced(
            order_id="o-1", lines=[OrderLine(sku="a-1", quantity=1)], amount=20, card="4242-4242-4242-4242"
        )
        saga_id = await publisher.publish(order)
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            await _completed_on_the_dashboard(running, saga_id)
            for name in OURS:
                while not await _healthy(running, name):
                    await asyncio.sleep(1)
    except TimeoutError as error:
        raise AssertionError("\n".join(f"{name}: {running.log(name)}" for name in OURS)) from error
    assert (await audit(servers)).orders("parcel.dispatched") == {"o-1"}
    assert "completed" in await _saga("show", saga_id, servers)
    for name, process in running.processes.items():
        assert process.poll() is None, running.log(name)
        process.terminate()
    for name, process in running.processes.items():
        code = await asyncio.to_thread(process.wait, _seconds(OURS[name]["stop_grace_period"]))
        assert code == 0, running.log(name)
    assert not any([await _healthy(running, name) for name in ("orders", "tracker-1")])


async def _completed_on_the_dashboard(running: Running, saga_id: str) -> None:
    headers = {"Authorization": f"Bearer {running.token}"}
    url = running.here(f"http://localhost:8080/api/v1/sagas/{saga_id}")
    async with aiohttp.ClientSession(headers=headers) as http:
        while True:
            try:
                async with http.get(url) as answer:
                    found = await answer.json(content_type=None)
                    if answer.status == 200 and found["status"] == "completed":
                        return
            except aiohttp.ClientConnectionError:
                pass  # it is starting
            await asyncio.sleep(0.3)


async def _healthy(running: Running, name: str) -> bool:
    check = OURS[name]["healthcheck"]
    done = await asyncio.to_thread(
        subprocess.run,
        [running.here(word) for word in _command(check["test"][1:])],
        env=_environment(running, name),
        cwd=ROOT,
        timeout=_seconds(check["timeout"]),
        check=False,
    )
    return done.returncode == 0


@pytest.mark.kafka
def test_a_service_that_does_not_run_is_not_healthy(bootstrap_servers: str) -> None:
    check = [str(BIN / "saga"), "health", "nobody", "--here", "--bootstrap-servers", bootstrap_servers]
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
