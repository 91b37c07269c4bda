"""`saga dashboard` beside a tracker and a real Kafka: what is asked for over HTTP is what happens there."""

import asyncio
import json
import re
import shlex
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from saga.cli.app import application
from saga.core.envelope import Envelope
from saga.core.receipt import (
    SERVICES_TOPIC,
    EventSchema,
    Publication,
    ServiceAnnouncement,
    Subscription,
)
from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.integration.processes import Process
from tests.waiting import until

pytestmark = pytest.mark.kafka

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
SECONDS_MAX = 120
TOPIC = "doors"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CLI = CliRunner()
CARD = "4242 4242 4242 4242"
OPENED = EventSchema(
    "door.opened",
    1,
    {"properties": {"door": {"type": "string"}, "card": {"type": "string", "x-sensitive": True}}},
)
DOORS = ServiceAnnouncement(
    "doors",
    [Subscription("door.opened", TOPIC, "watch"), Subscription("door.closed", TOPIC, "watch")],
    [Publication("door.opened", TOPIC, "")],
    events=[OPENED],
    version="2.3.1",
)


class Server:
    """A broker, a tracker, and the dashboard's server with its own projector."""

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
        settings = {
            "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "SAGA_STATE_DIR": str(folder / "state"),
            "SAGA_DATABASE": f"sqlite:///{folder}/sagas.db",
            "SAGA_ACCESS_USERS_FILE": str(folder / "users"),
        }
        self.tracker = Process(["saga.cli", "track"], settings, folder / "tracker.log")
        self.dashboard = Process(["saga.cli", "dashboard", "--port", "0"], settings, folder / "dashboard.log")

    async def publish(self, saga: str, other: str) -> None:
        """Two events of a saga, which nobody handles; and one of another, which nobody has to handle."""
        await ensure_topics(
            self._settings, [Topic(TOPIC, 1), Topic(SERVICES_TOPIC, 1, {"cleanup.policy": "compact"})]
        )
        async with AIOKafkaProducer(bootstrap_servers=self._settings.bootstrap_servers) as producer:
            await producer.send_and_wait(SERVICES_TOPIC, msgspec.json.encode(DOORS), key=b"doors")
            now_ms = time.time_ns() // 1_000_000
            for event, type_, of, cause in (
                ("e-1", "door.opened", saga, None),
                ("e-2", "door.closed", saga, "e-1"),
                ("e-3", "bell.rang", other, None),
            ):
                span = f"00-{TRACE}-b7ad6b7169203331-01"
                envelope = Envelope(event, type_, "doors", of, now_ms, cause, traceparent=span)
                value = json.dumps({"door": "d-1", "card": CARD}).encode()
                key = b"d-1" if of == saga else b"d-2"
                await producer.send_and_wait(TOPIC, value, key=key, headers=envelope.headers())

    def client(self) -> httpx.Client:
        until(self._address, SECONDS_MAX, what="the dashboard says where it is")
        return httpx.Client(base_url=self._address(), timeout=60)

    def _address(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.dashboard.output())
        return found.group() if found else ""


@pytest.fixture
async def server(kafka: LocalKafka, tmp_path: Path) -> AsyncIterator[Server]:
    with LocalKafka() as broker:
        found = Server(broker.bootstrap_servers, tmp_path)
        try:
            await found.publish("saga-1", "saga-2")
            found.tracker.start()
            found.dashboard.start()
            yield found
        finally:
            for process in (found.dashboard, found.tracker):
                process.end()
            print(found.dashboard.output())


def told(client: httpx.Client, path: str, status: int = 200, **asked: Any) -> Any:
    answer = client.get(f"/api/v1/{path}", params=asked)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_what_is_asked_for_over_http_happens_in_kafka(server: Server, tmp_path: Path) -> None:
    with server.client() as client:
        until(
            lambda: {each["id"] for each in told(client, "sagas")["sagas"]} == {"saga-1", "saga-2"},
            SECONDS_MAX,
            what="the sagas are found",
        )
        _payloads_are_masked_by_schema(client)
        _commands_are_obeyed_once(client)
        _the_cli_prints_the_same_of_the_server_and_of_kafka(str(client.base_url), server.bootstrap_servers)
        _every_example_runs(str(client.base_url), tmp_path)
        assert told(client, "freshness")["alive"]
        (doors,) = told(client, "services/doors")["services"]
        assert (doors["publishes"][0]["type"], doors["version"]) == ("door.opened", "2.3.1")
        _a_tracker_that_is_gone_is_told(client, server)
        _streams_end_with_the_server(client, server)


def _payloads_are_masked_by_schema(client: httpx.Client) -> None:
    payload = "sagas/saga-1/events/e-1/payload"
    until(lambda: told(client, payload)["schema_known"], SECONDS_MAX, what="the schema is announced")
    shown = told(client, payload)
    assert (shown["payload"], shown["masked"]) == ({"door": "d-1", "card": "***"}, ["/card"])
    assert shown["trace"] == TRACE
    unknown = told(client, "sagas/saga-1/events/e-2/payload")
    assert (unknown["payload"], unknown["masked"], unknown["schema_known"]) == ("***", [""], False)

    assert client.post(f"/api/v1/{payload}", json={"reason": ""}).status_code == 422
    seen = client.post(f"/api/v1/{payload}", json={"reason": "the customer asks"}).json()
    assert (seen["payload"]["card"], seen["masked"]) == (CARD, [])

    def recorded() -> list[Any]:
        return [
            (each["object"], each["reason"])
            for each in told(client, "audit")["records"]
            if each["action"] == "unmask"
        ]

    until(recorded, SECONDS_MAX, what="the audit log has it")
    assert recorded() == [("saga-1/e-1", "the customer asks")]


def _commands_are_obeyed_once(client: httpx.Client) -> None:
    path, wish = "/api/v1/sagas/saga-1/commands", {"action": "note", "reason": "a test"}
    key = {"Idempotency-Key": "once"}
    first = client.post(path, json=wish, headers=key, params={"wait_seconds": 30})
    assert (first.status_code, first.json()["accepted"]) == (200, True), first.text
    until(
        lambda: [each["accepted"] for each in told(client, "commands", saga="saga-1")["commands"]] == [True],
        SECONDS_MAX,
        what="the command and its answer are in the read model",
    )
    again = client.post(path, json=wish, headers=key)
    assert again.json() == first.json()
    other = client.post(path, json={**wish, "reason": "another"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (409, "urn:saga:problem:idempotency-key-reused")
    refused = client.post(path, json={**wish, "action": "skip"}, params={"wait_seconds": 30})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:saga:problem:command-refused")
    assert "not being compensated" in refused.json()["detail"]
    until(
        lambda: [act["action"] for act in told(client, "sagas/saga-1")["history"]] == ["note", "skip"],
        SECONDS_MAX,
        what="the history has both, each once",
    )


def _the_cli_prints_the_same_of_the_server_and_of_kafka(url: str, servers: str) -> None:
    for line in (
        "list",
        "list --sort last --waiting-for doors",
        "list --stuck",
        "show d-1",
        "show aga-1 --json",
        "show nobody",
        "watch --once",
        "map bell.rang",
        "map bell.rang --mermaid",
        "funnel door.opened",
        "funnel bell.rang",
        "variants door.opened",
        "variants bell.rang",
        "orphans",
        "note d-1 --reason same",
        "skip d-1 --reason same",
        "compensate d-1 --dry-run",
    ):
        of_kafka, of_server = (
            CLI.invoke(application(), [*shlex.split(line), *way])
            for way in (["--bootstrap-servers", servers], ["--url", url])
        )
        assert timeless(of_server.stdout) == timeless(of_kafka.stdout), line
        assert of_server.exit_code == of_kafka.exit_code, (line, of_server.output, of_kafka.output)

    told = CLI.invoke(application(), ["status", "--url", url])
    assert "saga-collector" in told.stdout
    assert told.exit_code in (0, 1), told.output  # a moment ago something was written


def timeless(text: str) -> str:
    """Without what goes on while one looks."""
    text = re.sub(r'("(?:age_ms|waited_ms)": )\d+', r"\1_", text)
    text = re.sub(r" · nothing new for [\w. ]+", "", text)
    text = re.sub(r"[\d.]+ (?:ms\b|s\b|…)|\d+m(?: \d\ds| ?…)|\d+…", "_", text)  # some are cut
    return re.sub(r"[▁▂▃▄▅▆▇█]+| +", " ", text)


def _every_example_runs(url: str, folder: Path) -> None:
    first, *examples = re.findall(r"^```sh\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.M | re.S)
    assert first.startswith("API=")
    assert len(examples) >= 6
    for example in examples:
        script = f"API={url}/api/v1\nID=saga-1\n{example}"
        ran = subprocess.run(
            ["bash", "-e", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert ran.returncode == 0, f"{example}\n{ran.stdout}\n{ran.stderr}"


def _a_tracker_that_is_gone_is_told(client: httpx.Client, server: Server) -> None:
    """What services go on to publish waits for it, and all that is shown grows old."""

    def fresh() -> dict[str, Any]:
        return {"tracker": None, **told(client, "freshness")}

    def at_work() -> bool:
        return (fresh()["tracker"] or {}).get("at_work") is True

    def behind() -> bool:
        found = fresh()
        tracker = found["tracker"]
        return (
            found["alive"]
            and not tracker["at_work"]
            and tracker["lag_records"] > 0
            and found["projector_age_ms"] < tracker["age_ms"] == found["age_ms"] > 5_000
        )

    until(at_work, SECONDS_MAX, what="the tracker is at work")
    assert server.tracker.stop() == 0
    asyncio.run(server.publish("saga-3", "saga-4"))
    until(behind, SECONDS_MAX, what="the tracker is gone, and what is shown grows old")
    status = CLI.invoke(application(), ["status", "--url", str(client.base_url)])
    assert status.exit_code == 1
    assert "saga-tracker has no members: start `saga track`" in status.stdout
    assert re.search(r"^model   as of .* ago", status.stdout, re.M), status.stdout
    server.tracker.start()
    until(lambda: at_work() and fresh()["age_ms"] < 5_000, SECONDS_MAX, what="it has caught up")


def _streams_end_with_the_server(client: httpx.Client, server: Server) -> None:
    lines: list[str] = []

    def follow() -> None:
        with client.stream("GET", "/api/v1/live") as answer:
            lines.extend(answer.iter_lines())
            lines.append("ended")

    def changed() -> bool:
        return any("saga-1" in line for line in lines)

    following = threading.Thread(target=follow)
    following.start()
    until(lambda: lines, SECONDS_MAX, what="the stream has begun")
    client.post("/api/v1/sagas/saga-1/commands", json={"action": "note", "reason": "seen"})
    until(changed, SECONDS_MAX, what="the change is told")
    assert server.dashboard.stop() == 0
    following.join(SECONDS_MAX)
    assert lines[-1] == "ended"
