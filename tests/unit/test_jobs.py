"""Bulk jobs in the database, and the commands that come of them."""

from collections.abc import Iterator

import pytest
from msgspec import json, structs

from tests.databases import DATABASES, database
from tracker.core.effect import Reply
from tracker.jobs.job import Letters, Sagas, command_of, letters_of, result
from tracker.view.model.database import open_model
from tracker.view.model.jobs import JOBS_KEPT, JobItem, JobRow, JobStore

NOTE = JobRow("j-1", "note", "ada", "why", json.encode(Sagas({})).decode(), 20.0, 1_000)


@pytest.fixture(params=DATABASES)
def store(request: pytest.FixtureRequest) -> Iterator[JobStore]:
    with database(request.param) as url:
        engine = open_model(url)
        yield JobStore(engine)
        engine.dispose()


def test_a_job_is_one_runners_until_it_has_said_nothing_for_too_long(store: JobStore) -> None:
    store.add(NOTE, ["s-1", "s-2\0"])
    taken = store.claim("a", 2_000, 100)
    assert taken is not None
    assert (taken.id, taken.total, taken.state) == ("j-1", 2, "running")
    assert store.claim("b", 2_050, 100) is None
    assert store.keep("j-1", "a", 2_200, '{"accepted":1}') is True
    assert store.claim("b", 2_150, 100) is None
    after = store.claim("b", 2_201, 100)
    assert after is not None
    assert after.progress == '{"accepted":1}'
    assert store.keep("j-1", "a", 9_999, "{}") is None
    store.end("j-1", "a", "failed", "not mine", "{}", 3_000)
    store.end("j-1", "b", "done", "", "{}", 3_000)
    assert store.claim("c", 9_000, 100) is None
    job = store.job("j-1")
    assert job is not None
    assert (job.state, job.message, job.ended_ms) == ("done", "", 3_000)


def test_jobs_are_worked_on_in_their_order(store: JobStore) -> None:
    for number in (2, 1, 3):
        store.add(structs.replace(NOTE, id=f"j-{number}", made_ms=number), [])
    claimed = [store.claim("a", 10, 100) for _ in range(4)]
    assert [None if job is None else job.id for job in claimed] == ["j-1", "j-2", "j-3", None]
    assert [job.id for job in store.newest(2)] == ["j-3", "j-2"]


def test_items_keep_what_they_came_to(store: JobStore) -> None:
    store.add(NOTE, [f"s-{number}" for number in range(12_000)])
    store.settle("j-1", {0: ("accepted", ""), 2: ("refused", "the saga is completed"), 3: ("unanswered", "")})
    assert store.counts("j-1") == {"accepted": 1, "refused": 1, "unanswered": 1, "waiting": 11_997}
    assert [item.number for item in store.items("j-1", -1, 3, "waiting")] == [1, 4, 5]
    assert store.items("j-1", 1, 1) == [JobItem("j-1", 2, "s-2", "refused", "the saga is completed")]


def test_a_job_that_waits_is_aborted_at_once_and_one_that_runs_is_told_to(store: JobStore) -> None:
    store.add(NOTE, ["s-1"])
    assert store.abort("j-1", 5)
    assert not store.abort("j-1", 6)
    assert store.claim("a", 10, 100) is None
    store.add(structs.replace(NOTE, id="j-2"), ["s-1"])
    store.claim("a", 10, 100)
    assert store.abort("j-2", 11)
    assert store.keep("j-2", "a", 200, "{}") is False
    assert not store.abort("unknown", 12)


def test_old_jobs_leave_and_what_has_not_ended_stays(store: JobStore) -> None:
    store.add(structs.replace(NOTE, id="waits"), ["s"])
    for number in range(JOBS_KEPT + 3):
        id_ = f"e-{number}"
        store.add(structs.replace(NOTE, id=id_, state="done", ended_ms=number + 1), ["s"])
    assert store.job("waits") is not None
    assert [store.job(f"e-{number}") is None for number in range(4)] == [True, True, True, False]
    assert store.items("e-0", -1, 5) == []


def test_a_repeat_of_an_item_is_the_same_command() -> None:
    item = JobItem("j-1", 3, "s-1")
    command = command_of(NOTE, item)
    assert command_of(structs.replace(NOTE, state="running"), structs.replace(item, number=9)) == command
    assert command_of(NOTE, structs.replace(item, saga="s-2")).id != command.id
    assert command_of(structs.replace(NOTE, id="j-2"), item).id != command.id
    assert (command.saga, command.action, command.by, command.at_ms) == ("s-1", "note", "ada", 1_000)


def test_what_an_answer_says_is_kept() -> None:
    assert result(Reply("r-1", "c-1", "s-1", True, "", 5)) == ("accepted", "")
    assert result(Reply("r-1", "c-1", "s-1", False, "no undo is stuck", 5)) == ("refused", "no undo is stuck")
    assert result(None)[0] == "unanswered"


def test_a_redrive_is_kept_as_it_was_asked_for() -> None:
    letters = Letters("saga.dlq.x", ("saga.dlq.x/0/1",), type="order.placed", failed_max=0.5)
    job = structs.replace(NOTE, action="redrive", about=json.encode(letters).decode())
    assert letters_of(job) == letters
