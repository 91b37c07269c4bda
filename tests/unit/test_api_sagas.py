"""The API as a client sees it: sagas are found and told, and whatever is wrong is a problem."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from msgspec import to_builtins
from sqlalchemy import text

from tests.api_client import client_of, reading
from tests.facts import NOON_MS
from tests.unit.test_flow_views import KNOWN, compensating, completed, late, of, open_, stuck
from tracker.core.discovery import variant_id
from tracker.view.documents.saga import saga_document
from tracker.view.outlook import outlook_of
from tracker.view.past import Past
from tracker.view.queries.reader import Reader
from tracker.view.row import row_of

SAGAS = {
    "a-open": of(open_()),
    "b-done": of(completed()),
    "c-late": of(late()),
    "d-back": of(compensating()),
    "e-stuck": of(stuck()),
}

DONE = variant_id(("order.placed", "stock.reserved", "payment.charged", "parcel.dispatched"))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reading(tmp_path_factory.mktemp("model"), SAGAS) as reader:
        yield reader


@pytest.fixture
async def client(reader: Reader) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(reader) as client:
        yield client


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [saga["id"] for saga in answer.json()["sagas"]]


def problem(answer: httpx.Response, status: int, name: str) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    told = answer.json()
    assert (told["type"], told["status"]) == (f"urn:saga:problem:{name}", status)
    return str(told.get("detail", ""))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, set(SAGAS)),
        ({"flow": "order"}, set(SAGAS)),
        ({"flow": "order.placed"}, set(SAGAS)),
        ({"flow": "none"}, set()),
        ({"version": 2}, set()),
        ({"status": "stuck"}, {"e-stuck"}),
        ({"status": ["stuck", "compensating"]}, {"d-back", "e-stuck"}),
        ({"id_prefix": "c-"}, {"c-late"}),
        ({"event_type": "parcel.dispatched"}, {"b-done", "c-late"}),
        ({"edge": "payment.charged,orders,parcel.dispatched"}, {"b-done", "c-late"}),
        ({"edge": "payment.charged,inventory,parcel.dispatched"}, set()),
        ({"variant": DONE}, {"b-done", "c-late"}),
        ({"variant": DONE, "edge": "order.placed,orders,stock.reserved"}, {"b-done", "c-late"}),
        ({"variant": "0" * 16}, set()),
        ({"ended_from": "2025-10-09T12:00:05Z"}, {"c-late"}),
        ({"ended_until": "2025-10-09T12:00:05Z"}, {"b-done"}),
        ({"sla": "on time"}, {"a-open"}),
        ({"at_risk": "true"}, set()),
        ({"waiting_until": "2025-10-09T11:59:59Z"}, set()),
        ({"waiting_until": "2025-10-09T12:00:00.010Z"}, {"a-open", "d-back", "e-stuck"}),
        ({"began_until": "2025-10-09T12:00:00Z"}, set()),
        ({"began_from": "2025-10-09T14:00:00+02:00"}, set(SAGAS)),
    ],
)
async def test_sagas_are_found_by(
    client: httpx.AsyncClient, asked: dict[str, str | list[str]], found: set[str]
) -> None:
    assert set(ids(await client.get("/api/v1/sagas", params=asked))) == found


@pytest.mark.parametrize("order", ["newest", "oldest", "stalest"])
async def test_pages_have_every_saga_once(client: httpx.AsyncClient, order: str) -> None:
    whole = ids(await client.get("/api/v1/sagas", params={"order": order}))
    found, after = [], None
    while True:
        asked = {"order": order, "limit": "2"} | ({} if after is None else {"after": after})
        answer = await client.get("/api/v1/sagas", params=asked)
        found += ids(answer)
        if (after := answer.json()["next"]) is None:
            break

    assert found == whole
    assert sorted(found) == sorted(SAGAS)


async def test_one_saga_is_told_as_saga_show_tells_it(client: httpx.AsyncClient) -> None:
    told = (await client.get("/api/v1/sagas/e-stuck")).json()

    assert (told["id"], told["status"], told["clocks"][0]["rule"]) == ("e-stuck", "stuck", "charge-fast")
    now_ms = NOON_MS + 600
    outlook = outlook_of(of(stuck()), row_of(of(stuck()), KNOWN), Past(), KNOWN, now_ms)
    same = to_builtins(saga_document(of(stuck()), KNOWN, now_ms, outlook=outlook))
    assert {**told, "id": ""} == {**json.loads(json.dumps(same)), "id": ""}


async def test_an_unchanged_answer_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/api/v1/sagas")
    again = await client.get("/api/v1/sagas", headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})

    assert (again.status_code, again.content) == (304, b"")


async def test_what_is_wrong_is_a_problem(client: httpx.AsyncClient) -> None:
    assert "'x'" in problem(await client.get("/api/v1/sagas/x"), 404, "unknown-saga")
    problem(await client.get("/api/v1/nothing"), 404, "not-found")
    problem(await client.delete("/api/v1/sagas"), 405, "method-not-allowed")
    told = problem(
        await client.get("/api/v1/sagas", params={"status": "lost", "limit": 0}), 422, "invalid-request"
    )
    assert "query.status.0" in told
    assert "query.limit" in told
    asked = {"variant": "x", "edge": "order.placed"}
    told = problem(await client.get("/api/v1/sagas", params=asked), 422, "invalid-request")
    assert "query.variant" in told
    assert "query.edge" in told
    for cursor in ("", "x", "é", "WzEsMiwzXQ", "WyJuZXdlc3QiLDk5OTk5OTk5OTk5OTk5OTk5OTk5LCJhIl0"):
        problem(await client.get("/api/v1/sagas", params={"after": cursor}), 400, "unusable-cursor")
    page = await client.get("/api/v1/sagas", params={"limit": 1})
    asked = {"order": "oldest", "after": page.json()["next"]}
    assert "newest" in problem(await client.get("/api/v1/sagas", params=asked), 400, "unusable-cursor")


async def test_a_database_that_fails_tells_nothing_of_its_inside(tmp_path: Path) -> None:
    with reading(tmp_path, SAGAS) as reader:
        with reader.engine.begin() as connection:
            connection.execute(text("DROP TABLE chains"))
        async with client_of(reader) as client:
            answer = await client.get("/api/v1/sagas/a-open")

    told = problem(answer, 503, "database-unavailable")
    assert "chains" not in told
    assert answer.headers["retry-after"] == "5"


NASTY = [
    "' OR '1'='1",
    "'; DROP TABLE sagas; --",
    "%",
    "_",
    "%' ESCAPE '\\",
    "\\",
    "a\r\nSet-Cookie: x=y",
    "\0",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "\ud7ff\U0010ffff",
    "x" * 500,
]
FIELDS = ["flow", "key", "id_prefix", "event_type", "service", "waiting_for", "error"]


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("field", FIELDS)
async def test_nothing_is_found_by_what_no_saga_has(
    client: httpx.AsyncClient, field: str, nasty: str
) -> None:
    answer = await client.get(f"/api/v1/sagas?{urlencode({field: nasty})}")

    assert ids(answer) == []
    assert "set-cookie" not in answer.headers
    assert len(ids(await client.get("/api/v1/sagas"))) == len(SAGAS)


@pytest.mark.parametrize("field", FIELDS)
async def test_what_is_too_long_is_refused(client: httpx.AsyncClient, field: str) -> None:
    told = problem(await client.get("/api/v1/sagas", params={field: "x" * 501}), 422, "invalid-request")

    assert len(told) < 200


async def test_the_document_of_the_api_names_what_there_is(client: httpx.AsyncClient) -> None:
    told = (await client.get("/api/v1/openapi.json")).json()

    assert told["openapi"].startswith("3.1")
    assert "SagaSummary" in told["components"]["schemas"]
