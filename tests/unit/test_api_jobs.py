"""Jobs and dead letters over HTTP, without Kafka: what is asked for stands in the database."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from saga.core.delivery import Delivery, dead_letter
from saga.core.envelope import Envelope
from tests import play
from tests.api_client import app_of, client_of, model_of
from tests.play import Play
from tests.served import served
from tracker.cli.remote_letters import find_letters
from tracker.core.redrive import Treatment, encode_treatment
from tracker.view.model.feeds import FeedRecord, set_places, write_feed
from tracker.view.queries.dead_letters import LetterGroup, LetterRow
from tracker.view.queries.reader import Reader

DLQ = "saga.dlq.payments"
NOTE = {
    "action": "note",
    "reason": "ticket 4711",
    "sagas": {"flow": "order", "status": ["open", "retrying"]},
}
REDRIVE = {"action": "redrive", "reason": "mended", "letters": {"topic": DLQ, "type": "order.placed"}}


@contextlib.asynccontextmanager
async def api(path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Reader]]:
    began = Play(play.ORDER)
    began.tell(play.placed(), play.reserved(), now=50)
    assert began.saga is not None
    reader = model_of(path, {f"s-{number}": began.saga for number in range(3)})
    try:
        async with client_of(reader) as client:
            yield client, reader
    finally:
        reader.close()
        reader.engine.dispose()


async def test_a_job_is_about_the_sagas_that_its_search_finds(tmp_path: Path) -> None:
    async with api(tmp_path) as (client, _):
        made = (await client.post("/api/v1/jobs", json=NOTE)).json()
        assert (made["action"], made["state"], made["total"]) == ("note", "waiting", 3)
        assert made["about"] == {"search": {"flow": "order", "status": "open, retrying"}, "undo": True}
        assert (await client.get(f"/api/v1/jobs/{made['id']}")).json() == made
        assert (await client.get("/api/v1/jobs")).json()["jobs"] == [made]
        items = (await client.get(f"/api/v1/jobs/{made['id']}/items", params={"limit": 2})).json()
        assert [item["saga"] for item in items["items"]] == ["s-0", "s-1"]
        rest = await client.get(f"/api/v1/jobs/{made['id']}/items", params={"after": items["next"]})
        assert [item["saga"] for item in rest.json()["items"]] == ["s-2"]
        assert rest.json()["next"] is None
        aborted = (await client.post(f"/api/v1/jobs/{made['id']}/abort")).json()
        assert (aborted["state"], aborted["aborting"]) == ("aborted", True)
        assert (await client.post(f"/api/v1/jobs/{made['id']}/abort")).status_code == 409
        again = (await client.post(f"/api/v1/jobs/{made['id']}/resume")).json()
        assert (again["state"], again["aborting"], again["ended"]) == ("waiting", False, None)
        assert (await client.post(f"/api/v1/jobs/{made['id']}/resume")).status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({**NOTE, "sagas": {"flow": "no such flow"}}, 404, "nothing-found"),
        ({**NOTE, "reason": " "}, 422, "invalid-request"),
        ({**NOTE, "action": "explode"}, 422, "invalid-request"),
        ({**NOTE, "sagas": {"fow": "order"}}, 422, "invalid-request"),
        ({**NOTE, "rate": 0}, 422, "invalid-request"),
        ({**REDRIVE, "letters": {"topic": DLQ, "letters": ["saga.dlq.x/0/1"]}}, 422, "no-letter"),
        ({**REDRIVE, "sagas": {}}, 422, "invalid-request"),
    ],
)
async def test_what_can_not_be_done_is_refused(
    tmp_path: Path, body: dict[str, object], status: int, problem: str
) -> None:
    async with api(tmp_path) as (client, _):
        told = await client.post("/api/v1/jobs", json=body)
        assert (told.status_code, told.json()["type"]) == (status, f"urn:saga:problem:{problem}")
        assert (await client.get("/api/v1/jobs")).json()["jobs"] == []
        assert (await client.get("/api/v1/jobs/unknown")).status_code == 404


async def test_a_redrive_is_a_job(tmp_path: Path) -> None:
    async with api(tmp_path) as (client, _):
        made = (await client.post("/api/v1/jobs", json=REDRIVE)).json()
        assert (made["action"], made["total"], made["about"]["type"]) == ("redrive", None, "order.placed")


def letter(offset: int, error: Exception, back_from: int | None = None) -> FeedRecord:
    """A dead letter; `back_from`: it was redriven to this offset of its topic, and failed again."""
    envelope = Envelope(f"e-{offset}", "order.placed", "orders", "saga-1", 0)
    headers = list(envelope.headers())
    if back_from is not None:
        headers.append(("saga_redrive_replays", b"1"))
    stood = Delivery("orders", 0, offset if back_from is None else back_from)
    written = dead_letter("payments", "charge", stood, error, offset, (b"k", b"{}", headers))
    return FeedRecord(DLQ, 0, offset, offset, b"k", b"{}", tuple(written.headers))


async def test_dead_letters_are_grouped_listed_and_told_with_what_was_done(tmp_path: Path) -> None:
    async with api(tmp_path) as (client, reader):
        letters = [letter(offset, TimeoutError() if offset < 3 else ValueError("x")) for offset in range(5)]
        done = Treatment(f"{DLQ}/0/1", "discarded", "eva", "by phone", 9)
        with reader.engine.begin() as connection:
            set_places(connection, "cluster-1", {(DLQ, 0): 0, ("saga.redrives", 0): 0})
            write_feed(connection, DLQ, letters, {0: (0, 5)})
            record = FeedRecord("saga.redrives", 0, 0, 9, done.letter.encode(), encode_treatment(done))
            write_feed(connection, "saga.redrives", [record], {0: (0, 1)})
        found = (await client.get("/api/v1/dead-letters/groups")).json()["groups"]
        assert [(each["error"], each["letters"], each["to_do"], each["states"]) for each in found] == [
            ("TimeoutError", 3, 2, {"waiting": 2, "discarded": 1}),
            ("ValueError", 2, 2, {"waiting": 2}),
        ]
        page = (await client.get("/api/v1/dead-letters", params={"limit": 2})).json()
        assert [each["letter"] for each in page["letters"]] == [f"{DLQ}/0/4", f"{DLQ}/0/3"]
        rest = (await client.get("/api/v1/dead-letters", params={"after": page["next"]})).json()
        assert [each["state"] for each in rest["letters"]] == ["waiting", "discarded", "waiting"]
        assert rest["letters"][1]["done"]["by"] == "eva"
        only = await client.get("/api/v1/dead-letters", params={"state": "discarded", "service": "payments"})
        assert [each["letter"] for each in only.json()["letters"]] == [f"{DLQ}/0/1"]
        wrong = await client.get("/api/v1/dead-letters", params={"after": "x/y"})
        assert wrong.json()["type"] == "urn:saga:problem:unusable-cursor"


async def test_the_cli_lists_the_letters_that_the_server_knows_and_what_failed_again(tmp_path: Path) -> None:
    async with api(tmp_path) as (_, reader):
        letters = [letter(0, TimeoutError()), letter(1, ValueError("x")), letter(2, TimeoutError(), 77)]
        done = [
            Treatment(f"{DLQ}/0/0", "redriven", "eva", "mended", 9, to="orders/0/77"),
            Treatment(f"{DLQ}/0/1", "redriven", "eva", "mended", 9, to="orders/0/78"),
        ]
        with reader.engine.begin() as connection:
            set_places(connection, "cluster-1", {(DLQ, 0): 0, ("saga.redrives", 0): 0})
            write_feed(connection, DLQ, letters, {0: (0, 3)})
            records = [
                FeedRecord("saga.redrives", 0, number, 9, each.letter.encode(), encode_treatment(each))
                for number, each in enumerate(done)
            ]
            write_feed(connection, "saga.redrives", records, {0: (0, 2)})
        async with served(app_of(reader)) as url:
            anything = (None, None, None)
            every = await find_letters(url, [], True, anything, 50)
            assert [(each.letter, each.state) for each in every.told if isinstance(each, LetterRow)] == [
                (f"{DLQ}/0/0", "failed-again"),
                (f"{DLQ}/0/1", "redriven"),
                (f"{DLQ}/0/2", "waiting"),
            ]
            cut = await find_letters(url, ["payments"], True, anything, 1)
            assert ([each.letter for each in cut.told if isinstance(each, LetterRow)], cut.total) == (
                [f"{DLQ}/0/2"],
                3,
            )
            groups = await find_letters(url, [DLQ], False, (None, None, "ValueError"), 50)
            assert [each.states for each in groups.told if isinstance(each, LetterGroup)] == [{"redriven": 1}]
            assert (await find_letters(url, ["shipping"], False, anything, 50)).told == []
