"""Access behind a real socket, with a real Kafka for the audit log, and as `saga dashboard` runs it."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocket

from saga.local import LocalKafka
from saga.runtime.kafka import TopicPartition, reader, records_before
from saga.runtime.settings import KafkaSettings
from tests.access_kit import PASSWORD, KeptAudit, access_of, put_user
from tests.integration.processes import Process
from tests.served import free_port, served
from tests.waiting import until
from tracker.access.audit import KafkaAudit, audit_record
from tracker.access.errors import AuditUnavailable
from tracker.access.install import install
from tracker.access.permit import permitted
from tracker.access.role import Role
from tracker.api.app import API_PATH
from tracker.core.audit import AUDIT_TOPIC
from tracker.view.model.database import open_model

pytestmark = pytest.mark.timeout(120)

SAGA = Path(sys.executable).with_name("saga")


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server with a stream and a socket, both without an end; `vera` may look."""
    put_user(tmp_path / "users", "vera", Role.VIEWER)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    async def ticks() -> AsyncIterator[bytes]:
        while True:
            yield b"data: tick\n\n"
            await asyncio.sleep(0.01)

    @app.get("/stream", dependencies=[Depends(permitted(Role.VIEWER))])
    async def stream() -> StreamingResponse:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    @app.websocket("/echo", dependencies=[Depends(permitted(Role.VIEWER))])
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    engine = open_model(f"sqlite:///{tmp_path}/sagas.db")
    access = access_of(engine, audit=KeptAudit(), access_users_file=tmp_path / "users")
    install(app, access, API_PATH, look_again_seconds=0)
    async with served(app) as url:
        yield url


async def cookie_of(url: str) -> str:
    async with httpx.AsyncClient(base_url=url) as browser:
        answer = await browser.post("/sign-in", data={"name": "vera", "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return f"saga_session={browser.cookies['saga_session']}"


async def last_of(lines: AsyncIterator[str]) -> None:
    async for _ in lines:
        pass


@pytest.mark.parametrize(
    ("headers", "signed_in"),
    [
        ({}, False),
        ({"cookie": "saga_session=forged"}, False),
        ({"authorization": "Bearer saga_forged"}, True),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"host": "evil.example", "origin": "http://evil.example:1"}, True),
    ],
)
async def test_a_socket_is_opened_by_nobody_else(url: str, headers: dict[str, str], signed_in: bool) -> None:
    cookie = {"cookie": await cookie_of(url)} if signed_in else {}
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(f"{url}/echo", headers={**cookie, **headers})
    assert refused.value.status == 403


async def test_a_socket_is_closed_when_its_session_ends(url: str, tmp_path: Path) -> None:
    headers = {"cookie": await cookie_of(url), "origin": url}
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{url}/echo", headers=headers) as socket:
        await socket.send_str("one")
        assert (await socket.receive()).data == "one"
        put_user(tmp_path / "users", "vera", None)
        await socket.send_str("two")
        closed = await socket.receive()
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_a_stream_is_cut_off_when_its_session_ends(url: str, tmp_path: Path) -> None:
    headers = {"cookie": await cookie_of(url)}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers) as browser,
        browser.stream("GET", "/stream") as answer,
    ):
        lines = answer.aiter_lines()
        for _ in range(10):
            await anext(lines)
        put_user(tmp_path / "users", "vera", None)
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            await last_of(lines)


async def test_a_stream_ends_with_another_role_too(url: str, tmp_path: Path) -> None:
    headers = {"cookie": await cookie_of(url)}
    async with httpx.AsyncClient(base_url=url, headers=headers) as browser:
        async with browser.stream("GET", "/stream") as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            put_user(tmp_path / "users", "vera", Role.ADMIN)
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                await last_of(lines)
        assert (await browser.get("/api/v1/me")).json()["role"] == "admin"


async def test_headers_that_a_request_brings_break_nothing(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        for headers in (
            {"cookie": "saga_session=" + "x" * 8_000},
            {"cookie": 'saga_session="\\012"; a=b; ===;;'},
            {"authorization": "Bearer"},
            {"authorization": "Basic dmVyYTp4"},
            {"x-forwarded-for": "1.1.1.1, evil"},
            {"origin": "http://[", "sec-fetch-site": "what"},
        ):
            answer = await client.get("/api/v1/me", headers=headers)
            assert answer.status_code in (401, 403), headers


@pytest.mark.kafka
async def test_records_are_on_kafka_before_anything_is_done_each_one_line_in_the_log(
    bootstrap_servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tracker.access.audit")
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    name = f"mallory-{os.getpid()}\r\nINFO forged \x1b[31m\u2028 \udcff"
    record = audit_record(7, name, "admin", "unmask", "saga-1/event-2", "x" * 9_000, "192.0.2.7")
    audit = KafkaAudit(settings)
    await audit.write(record)
    async with reader(settings) as consumer:
        source = TopicPartition(AUDIT_TOPIC, 0)
        consumer.assign([source])
        ends = await consumer.end_offsets([source])
        values = [each.value async for _, batch in records_before(consumer, ends) for each in batch]
    await audit.close()

    (told,) = [found for value in values if (found := json.loads(value))["id"] == record.id]
    assert told == {
        "id": record.id,
        "at_ms": 7,
        "by": name.replace("\udcff", "?"),
        "role": "admin",
        "action": "unmask",
        "object": "saga-1/event-2",
        "reason": "x" * 2_000,
        "from": "192.0.2.7",
        "outcome": "allowed",
    }
    (line,) = [found.getMessage() for found in caplog.records if record.id in found.getMessage()]
    assert line.isascii()
    assert line.isprintable()


async def test_without_kafka_a_record_is_refused_and_soon() -> None:
    audit = KafkaAudit(KafkaSettings(bootstrap_servers="127.0.0.1:1"), wait_seconds=0.5)

    with pytest.raises(AuditUnavailable, match="nothing was done"):
        await audit.write(audit_record(7, "ada", "admin", "cancel"))
    await audit.close()


@pytest.mark.kafka
async def test_a_broker_that_goes_is_noticed_and_one_that_comes_back_is_used() -> None:
    with LocalKafka() as own:
        own.start()
        audit = KafkaAudit(KafkaSettings(bootstrap_servers=own.bootstrap_servers))
        await audit.write(audit_record(1, "ada", "admin", "cancel"))
        own.kill()
        with pytest.raises(AuditUnavailable):
            await audit.write(audit_record(2, "ada", "admin", "cancel"))
        own.start()
        await audit.write(audit_record(3, "ada", "admin", "cancel"))
        await audit.close()


def saga(*arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SAGA, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_users_are_added_changed_and_removed(tmp_path: Path) -> None:
    file = {"SAGA_ACCESS_USERS_FILE": str(tmp_path / "users")}
    added = saga("users", "add", "Ada", "--role", "admin", "--password-stdin", given=f"{PASSWORD}\n", **file)
    assert (added.returncode, "ada is admin now" in added.stderr) == (0, True), added.stderr
    for arguments, given, why in (
        (("add", "ada", "--role", "viewer", "--password-stdin"), f"{PASSWORD}\n", "there is a user ada"),
        (
            ("add", "bob", "--role", "viewer", "--password-stdin"),
            "short\n",
            "12 to 256 characters, this one 5",
        ),
        (("add", "bob", "--role", "boss", "--password-stdin"), f"{PASSWORD}\n", "it is one of viewer"),
        (("add", "b b", "--role", "viewer", "--password-stdin"), f"{PASSWORD}\n", "no name of a user"),
        (("remove", "carl"), "", "there is no user carl"),
        (("set-role", "ada", "boss"), "", "it is one of viewer"),
        (("set-password", "carl", "--password-stdin"), f"{PASSWORD}\n", "there is no user carl"),
    ):
        refused = saga("users", *arguments, given=given, **file)
        assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr
    assert saga("users", "set-role", "ada", "operator", **file).returncode == 0
    assert saga("users", "list", **file).stdout.split() == ["NAME", "ROLE", "ada", "operator"]
    assert saga("users", "remove", "ada", **file).returncode == 0
    assert "adds the first" in saga("users", "list", **file).stderr


@pytest.mark.kafka
def test_a_dashboard_with_users_and_tokens(bootstrap_servers: str, tmp_path: Path) -> None:
    port = str(free_port())
    how = {
        "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "SAGA_DATABASE": f"sqlite:///{tmp_path}/sagas.db",
        "SAGA_ACCESS_USERS_FILE": str(tmp_path / "users"),
    }
    refused = saga("dashboard", "--host", "0.0.0.0", "--port", port, **how)
    assert (refused.returncode, "saga users add NAME" in refused.stderr) == (1, True), refused.stderr

    put_user(tmp_path / "users", "vera", Role.VIEWER)
    server = Process(["saga.cli", "dashboard", "--host", "0.0.0.0", "--port", port], how, tmp_path / "log")
    server.start()
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: "Ctrl-C ends it" in server.output() or server.running.poll() is not None, 60)
        until(lambda: answers(url), 30, what="it answers")
        made = saga("tokens", "create", "ci", "--role", "operator", "--reason", "for the test", **how)
        assert made.returncode == 0, made.stderr
        bearer = {"authorization": f"Bearer {made.stdout.strip()}"}
        me = httpx.get(f"{url}/api/v1/me", headers=bearer)
        assert me.json() == {"name": "ci", "role": "operator", "how": "token"}
        listed = saga("tokens", "list", **how).stdout
        (token_id,) = re.findall(r"^([0-9a-f]{10})\s+ci\s+operator", listed, re.MULTILINE)
        unknown = saga("tokens", "revoke", "nothing", "--reason", "done", **how)
        assert (unknown.returncode, "there is no token nothing" in unknown.stderr) == (1, True)
        assert saga("tokens", "revoke", token_id, "--reason", "done", **how).returncode == 0
        until(lambda: httpx.get(f"{url}/api/v1/me", headers=bearer).status_code == 401, 10)
        with httpx.Client(base_url=url) as browser:
            answer = browser.post("/sign-in", data={"name": "vera", "password": PASSWORD})
            assert answer.status_code == 303, answer.text
            assert browser.get("/api/v1/me").json()["name"] == "vera"
    finally:
        print(server.output())
        server.end()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/sign-in").status_code == 200
    except httpx.TransportError:
        return False
