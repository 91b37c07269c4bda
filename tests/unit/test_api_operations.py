"""The API for operators: services, alerts, commands, the audit log, payloads, exports."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx
import pytest
from msgspec import json as msgspec_json

from saga.core.receipt import EventSchema, Publication, ServiceAnnouncement, Subscription
from tests.api_client import client_of, model_of
from tests.facts import NOON_MS
from tests.ocel_schema import check_ocel
from tests.unit.test_flow_views import KNOWN, completed, late, of, open_, stuck
from tracker.core.audit import AUDIT_TOPIC, AuditRecord
from tracker.core.command import COMMANDS_TOPIC, Command
from tracker.core.effect import ALERTS_TOPIC, ANSWERS_TOPIC, Alert, Reply
from tracker.view.documents.payload import Place, payload_document
from tracker.view.model.feeds import FeedRecord, set_places, write_feed
from tracker.view.model.search import Wanted
from tracker.view.queries.export import FoundCases
from tracker.view.queries.reader import Reader

SAGAS = {
    "a-open": of(open_()),
    "b-done": of(completed()),
    "c-late": of(late()),
    "e-stuck": of(stuck()),
}
NASTY = "a\r\nSet-Cookie: x=y <script>alert(1)</script> '; DROP TABLE sagas; --\0"
ANNOUNCED = (
    ServiceAnnouncement(
        "payments",
        [Subscription("stock.reserved", "stock", "charge")],
        [Publication("payment.charged", "payments", "charge")],
        description=NASTY,
        events=[EventSchema("payment.charged", 1, {"type": "object"})],
        version="2.3.1",
    ),
)


def feed(reader: Reader, topic: str, *told: object) -> None:
    with reader.engine.begin() as connection:
        set_places(connection, "cluster-1", {(topic, 0): 0})
        records = [
            FeedRecord(topic, 0, index, NOON_MS + index, None, msgspec_json.encode(each))
            for index, each in enumerate(told)
        ]
        write_feed(connection, topic, records, {0: (0, len(records))})


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = model_of(tmp_path_factory.mktemp("model"), SAGAS)
    alerts = [
        Alert(
            id=f"alert-{n}",
            saga="c-late",
            key="o-1",
            flow="order",
            flow_version=1,
            cause="breach",
            at_ms=NOON_MS + n // 2,
            message=NASTY,
            rule="charge-fast",
            event="",
        )
        for n in range(5)
    ]
    feed(reader, ALERTS_TOPIC, *alerts)
    commands = [Command(f"command-{n}", "e-stuck", "note", "ada", NASTY, NOON_MS + n) for n in range(3)]
    feed(reader, COMMANDS_TOPIC, *commands)
    feed(reader, ANSWERS_TOPIC, Reply("answer-1", "command-1", "e-stuck", False, "no", NOON_MS + 9))
    record = AuditRecord("audit-1", NOON_MS, "ada", "admin", "unmask", "e-stuck/x", NASTY, "local", "allowed")
    feed(reader, AUDIT_TOPIC, record)
    yield reader
    reader.close()
    reader.engine.dispose()


@pytest.fixture
async def client(reader: Reader) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(reader, known=replace(KNOWN, announcements=ANNOUNCED)) as client:
        yield client


async def told(client: httpx.AsyncClient, path: str, **asked: str | int) -> dict[str, object]:
    answer = await client.get(f"/api/v1/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    assert "set-cookie" not in answer.headers
    found: dict[str, object] = answer.json()
    return found


async def test_alerts_are_paged_the_newest_first(client: httpx.AsyncClient) -> None:
    found: list[str] = []
    asked: dict[str, str | int] = {"limit": 2, "flow": "order"}
    while True:
        page = await client.get("/api/v1/alerts", params=asked)
        found += [alert["id"] for alert in page.json()["alerts"]]
        assert all(alert["message"] == NASTY.replace("\0", "\ufffd") for alert in page.json()["alerts"])
        if page.json()["next"] is None:
            break
        asked["after"] = page.json()["next"]

    assert found == ["alert-4", "alert-3", "alert-2", "alert-1", "alert-0"]
    assert (await told(client, "alerts", saga="b-done"))["alerts"] == []
    assert (await client.get("/api/v1/alerts", params={"after": "x"})).status_code == 400


async def test_commands_have_their_answers(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/v1/commands", params={"saga": "e-stuck"})).json()

    answers = {each["id"]: (each["accepted"], each["message"]) for each in page["commands"]}
    assert answers == {"command-0": (None, None), "command-1": (False, "no"), "command-2": (None, None)}
    assert (await told(client, "commands", by="nobody"))["commands"] == []


async def test_the_audit_log_can_be_asked(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/v1/audit", params={"by": "ada", "about": "e-stuck/x"})).json()

    assert [(each["action"], each["from"]) for each in page["records"]] == [("unmask", "local")]


async def test_a_model_that_nobody_writes_says_so(client: httpx.AsyncClient) -> None:
    page = await told(client, "freshness")

    assert (page["as_of"], page["alive"]) == (None, False)


async def test_services_tell_what_they_handle_and_how_that_goes(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/v1/services/payments")).json()
    (service,) = page["services"]
    (handler,) = service["handles"]

    assert (service["description"], service["version"]) == (NASTY, "2.3.1")
    assert (handler["type"], handler["handlers"]) == ("stock.reserved", ["charge"])
    assert (handler["attempts"], handler["error_rate"]) == (0, None)
    wrong = await client.get("/api/v1/services/payment")
    assert (wrong.status_code, wrong.json()["type"]) == (404, "urn:saga:problem:unknown-service")
    assert "payments" in wrong.json()["detail"]


async def test_an_event_type_tells_who_is_hit_if_it_changes(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/v1/events/payment.charged")).json()

    assert [each["service"] for each in page["published_by"]] == ["payments"]
    assert (page["versions"], page["topics"], page["sagas"]) == ([1], ["payments"], 2)
    assert page["flows"] == {"order": ["step"]}
    assert "payment.charged" in (await client.get("/api/v1/events")).json()["events"]
    wrong = await client.get("/api/v1/events/payment.chargd")
    assert (wrong.status_code, wrong.json()["type"]) == (404, "urn:saga:problem:unknown-event-type")


async def test_a_plan_is_made_without_doing_anything(client: httpx.AsyncClient) -> None:
    plan = (await client.get("/api/v1/sagas/b-done/plan")).json()

    assert [undo["command"] for undo in plan["undos"]] == ["payment.refund", "stock.release"]
    assert plan["then"]["command"] == "order.cancelled"
    assert "payload" not in plan["undos"][0]


async def test_a_command_without_a_reason_is_refused(client: httpx.AsyncClient) -> None:
    for wish in ({"action": "note"}, {"action": "note", "reason": "  "}, {"action": "shout", "reason": "x"}):
        answer = await client.post("/api/v1/sagas/e-stuck/commands", json=wish)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:saga:problem:invalid-request")
    answer = await client.post("/api/v1/sagas/x/commands", json={"action": "note", "reason": "x"})
    assert answer.json()["type"] == "urn:saga:problem:unknown-saga"


async def test_without_kafka_nothing_is_asked_of_it(client: httpx.AsyncClient) -> None:
    wish = {"action": "note", "reason": "x"}
    (event, *_) = (await client.get("/api/v1/sagas/e-stuck")).json()["events"]
    for answer in (
        await client.post("/api/v1/sagas/e-stuck/commands", json=wish),
        await client.get(f"/api/v1/sagas/e-stuck/events/{event['id']}/payload"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:saga:problem:kafka-unavailable")


async def test_only_events_of_the_saga_can_be_asked_for(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/sagas/e-stuck/events/elsewhere/payload")

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:saga:problem:unknown-event")


PLACE = Place("s", "e", "t", 1, "topic", 0, 7)


def test_a_payload_is_shown_as_far_as_its_schema_goes() -> None:
    schema = {"properties": {"card": {"type": "string", "x-sensitive": True}, "id": {"type": "integer"}}}
    value = b'{"card": "4242", "id": 1}'

    shown = payload_document(PLACE, value, [schema])
    assert (shown.payload, shown.masked, shown.schema_known) == ({"card": "***", "id": 1}, ("/card",), True)
    assert payload_document(PLACE, value, []).payload == "***"
    assert payload_document(PLACE, value, [], unmask=True).payload == {"card": "4242", "id": 1}


@pytest.mark.parametrize("value", [b"\xff\xfe4242", b"4242 is my card", b"", b"[" * 100_000])
def test_what_is_no_json_is_masked_whole(value: bytes) -> None:
    shown = payload_document(PLACE, value, [{}])

    assert (shown.form, shown.payload, shown.masked) == ("text", "***", ("",))
    assert payload_document(PLACE, None, [{}]).form == "none"


async def test_a_search_is_exported_as_a_log(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/export", params={"format": "csv", "status": "completed"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-disposition"] == 'attachment; filename="sagas.csv"'
    assert {row["case:concept:name"] for row in rows} == {"b-done", "c-late"}

    log = json.loads((await client.get("/api/v1/export")).content)
    check_ocel(log)
    assert len([each for each in log["objects"] if each["type"] == "saga"]) == len(SAGAS)
    assert "<log" in (await client.get("/api/v1/export", params={"format": "xes"})).text


async def test_an_export_reads_page_by_page(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.view.queries.export.PAGE", 1)
    cases = FoundCases(reader.engine, KNOWN, Wanted(), NOON_MS)

    assert sorted(case.id for case in cases) == sorted(SAGAS)
    assert sorted(case.id for case in cases) == sorted(SAGAS)
