"""Alerts, dead letters, commands and the like in SQLite and PostgreSQL: each once, however often it comes."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.json import encode as encoded
from sqlalchemy import Engine, Table, select

from tests.facts import NOON_MS
from tracker.core.audit import AUDIT_TOPIC
from tracker.core.command import COMMANDS_TOPIC
from tracker.core.contract.standstill import OVER, RAISED, Raised, Spot
from tracker.core.effect import ALERTS_TOPIC, ANSWERS_TOPIC, Alert, Cause
from tracker.view.model.feeds import (
    FeedRecord,
    alerts,
    answers,
    audit,
    commands,
    dead_letters,
    feed_topics,
    forget_dropped,
    forget_feeds,
    forget_older,
    read_places,
    services,
    set_places,
    write_feed,
)
from tracker.view.model.write import AnotherProjector
from tracker.view.queries.standstill import raised_alarms

CLUSTER = "c-1"
LETTERS = "saga.dlq.payments"
TABLES = alerts, answers, audit, commands, dead_letters, services


@pytest.fixture
def model(engine: Engine) -> Engine:
    begin_again(engine)
    return engine


def begin_again(engine: Engine) -> None:
    with engine.begin() as connection:
        forget_feeds(connection)
        set_places(connection, CLUSTER, {(topic, 0): 0 for topic in BODIES})


def put(model: Engine, topic: str, records: list[FeedRecord], begin: int) -> int:
    with model.begin() as connection:
        return write_feed(connection, topic, records, {0: (begin, begin + len(records))})


def contents(model: Engine, *tables: Table) -> dict[str, list[tuple[object, ...]]]:
    with model.connect() as connection:
        return {
            table.name: sorted(tuple(row) for row in connection.execute(select(table)))
            for table in tables or TABLES
        }


def alert(id_: str, at_ms: int = NOON_MS) -> bytes:
    told = {"id": id_, "saga": "s-1", "key": "", "flow": "order", "flow_version": 1, "message": "late\0"}
    return json.dumps({**told, "cause": "breach", "at_ms": at_ms}).encode()


def command(id_: str, at_ms: int = NOON_MS) -> bytes:
    told = {"id": id_, "saga": "s-1", "action": "cancel", "by": "me", "reason": "é", "at_ms": at_ms}
    return json.dumps({**told, "undo": False}).encode()


def answer(id_: str, at_ms: int = NOON_MS) -> bytes:
    told = {"id": id_, "command": "c-1", "saga": "s-1", "accepted": True, "message": ""}
    return json.dumps({**told, "at_ms": at_ms}).encode()


def audited(id_: str, at_ms: int = NOON_MS) -> bytes:
    told = {"id": id_, "by": "me", "role": "admin", "action": "unmask", "object": "s-1", "reason": ""}
    return json.dumps({**told, "at_ms": at_ms, "from": "local", "outcome": "allowed"}).encode()


def announced(id_: str, at_ms: int = NOON_MS) -> bytes:
    return json.dumps({"service": id_, "subscribes": [], "publishes": [], "description": str(at_ms)}).encode()


BODIES = {
    ALERTS_TOPIC: alert,
    COMMANDS_TOPIC: command,
    ANSWERS_TOPIC: answer,
    AUDIT_TOPIC: audited,
    "saga.services": announced,
    LETTERS: announced,
}


def letter_headers(saga: str = "s-1") -> tuple[tuple[str, bytes | None], ...]:
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e-1"),
        ("ce_source", b"orders"),
        ("ce_type", b"stock.reserved"),
        ("ce_correlationid", saga.encode()),
        ("__streams.errors.exception", b"TimeoutError"),
        ("__streams.errors.message", b"no \0 answer \xff"),
        ("__streams.errors.topic", b"orders"),
        ("__streams.errors.partition", b"2"),
        ("__streams.errors.offset", b"7"),
        ("saga_dlq_service", b"payments"),
        ("saga_dlq_attempts", b"5"),
        ("saga_dlq_failed_ms", str(NOON_MS).encode()),
        ("null", None),
    )


ids = st.sampled_from(["a", "b", "c"])
topics = st.sampled_from(sorted(BODIES))
whens = st.sampled_from([NOON_MS, NOON_MS + 1])


@st.composite
def told(draw: st.DrawFn) -> dict[str, list[FeedRecord]]:
    """Records of each topic: some come again, some are removed, some are none of ours."""
    found: dict[str, list[FeedRecord]] = {}
    for topic, id_, at_ms in draw(st.lists(st.tuples(topics, ids, whens), max_size=20)):
        records = found.setdefault(topic, [])
        # The same id means the same, but for what a service says of itself.
        body = BODIES[topic](id_, at_ms if topic == "saga.services" else NOON_MS)
        value = draw(st.sampled_from([body, body, body, None, b"\xff{"]))
        headers = letter_headers() if topic == LETTERS else ()
        records.append(FeedRecord(topic, 0, len(records), NOON_MS, id_.encode(), value, headers))
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(told(), st.integers(1, 4))
def test_it_does_not_matter_how_they_are_batched_and_reading_them_again_changes_nothing(
    model: Engine, records: dict[str, list[FeedRecord]], size: int
) -> None:
    begin_again(model)
    for topic, found in records.items():
        put(model, topic, found, 0)
    at_once = contents(model)

    with model.begin() as connection:
        set_places(connection, CLUSTER, {(topic, 0): 0 for topic in BODIES})
    for topic, found in records.items():
        put(model, topic, found, 0)
    assert contents(model) == at_once

    begin_again(model)
    for topic, found in records.items():
        for begin in range(0, len(found), size):
            put(model, topic, found[begin : begin + size], begin)
    assert contents(model) == at_once


def test_what_a_row_holds(model: Engine) -> None:
    for topic, body in BODIES.items():
        headers = letter_headers() if topic == LETTERS else ()
        put(model, topic, [FeedRecord(topic, 0, 0, NOON_MS, b"a", body("a"), headers)], 0)

    with model.connect() as connection:
        alerted = connection.execute(select(alerts)).mappings().one()
        asked = connection.execute(select(commands)).mappings().one()
        answered = connection.execute(select(answers)).mappings().one()
        seen = connection.execute(select(audit)).mappings().one()
        service = connection.execute(select(services)).mappings().one()
        letter = connection.execute(select(dead_letters)).mappings().one()
    assert (alerted["message"], alerted["cause"], alerted["rule"]) == ("late\ufffd", "breach", "")
    assert (asked["action"], asked["undo"], asked["reason"]) == ("cancel", False, "é")
    assert (answered["command"], answered["accepted"]) == ("c-1", True)
    assert (seen["from"], seen["outcome"]) == ("local", "allowed")
    assert json.loads(service["announcement"])["service"] == service["service"] == "a"
    place = letter["topic"], letter["partition"], letter["offset"]
    assert place == (LETTERS, 0, 0)
    assert (letter["service"], letter["event_type"], letter["event"]) == ("payments", "stock.reserved", "e-1")
    assert (letter["saga"], letter["error"], letter["attempts"]) == ("s-1", "TimeoutError", 5)
    assert letter["message"] == "no \ufffd answer \ufffd"
    assert (letter["from_topic"], letter["from_partition"], letter["from_offset"]) == ("orders", 2, 7)
    assert letter["size"] == len(announced("a"))
    assert ["null", None] in json.loads(letter["headers"])


def test_a_service_is_replaced_by_what_it_says_later_and_leaves_when_it_is_removed(model: Engine) -> None:
    topic = "saga.services"
    put(model, topic, [FeedRecord(topic, 0, n, NOON_MS, b"a", announced("a", n)) for n in range(2)], 0)
    (row,) = contents(model, services)["services"]
    assert json.loads(str(row[1]))["description"] == "1"

    put(model, topic, [FeedRecord(topic, 0, 2, NOON_MS, b"a", None)], 2)
    assert contents(model, services)["services"] == []


def test_what_is_none_of_ours_is_counted(model: Engine) -> None:
    strange = [b"", b"\xff", b"[]", b"{}", json.dumps({"id": 1}).encode()]
    records = [FeedRecord(ALERTS_TOPIC, 0, n, NOON_MS, None, value) for n, value in enumerate(strange)]

    assert put(model, ALERTS_TOPIC, records, 0) == len(strange)
    assert contents(model, alerts)["alerts"] == []


def test_numbers_that_no_database_takes_are_cut(model: Engine) -> None:
    put(model, ALERTS_TOPIC, [FeedRecord(ALERTS_TOPIC, 0, 0, NOON_MS, None, alert("a", 10**30))], 0)

    with model.connect() as connection:
        assert connection.scalar(select(alerts.c.at_ms)) == 2**63 - 1


def test_two_that_write_are_told(model: Engine) -> None:
    put(model, ALERTS_TOPIC, [FeedRecord(ALERTS_TOPIC, 0, 0, NOON_MS, None, alert("a"))], 0)

    with pytest.raises(AnotherProjector, match=r"saga\.alerts-0 does not stand at 0"):
        put(model, ALERTS_TOPIC, [FeedRecord(ALERTS_TOPIC, 0, 0, NOON_MS, None, alert("b"))], 0)

    assert [row[0] for row in contents(model, alerts)["alerts"]] == ["a"]


def test_what_is_old_leaves_and_the_audit_log_stays_longer(model: Engine) -> None:
    for topic in (ALERTS_TOPIC, COMMANDS_TOPIC, ANSWERS_TOPIC, AUDIT_TOPIC):
        ages = enumerate([NOON_MS - 1, NOON_MS])
        records = [FeedRecord(topic, 0, n, 0, None, BODIES[topic](f"{n}", at)) for n, at in ages]
        put(model, topic, records, 0)

    with model.begin() as connection:
        assert forget_older(connection, NOON_MS, NOON_MS - 1) == 3
        assert forget_older(connection, NOON_MS, NOON_MS - 1) == 0

    left = contents(model, alerts, commands, answers, audit)
    assert {name: len(rows) for name, rows in left.items()} == {
        "alerts": 1,
        "commands": 1,
        "answers": 1,
        "audit": 2,
    }


def test_dead_letters_leave_with_their_records_and_with_their_topic(model: Engine) -> None:
    put(
        model,
        LETTERS,
        [FeedRecord(LETTERS, 0, n, NOON_MS, None, b"{}", letter_headers()) for n in range(5)],
        0,
    )

    with model.begin() as connection:
        assert forget_dropped(connection, {(LETTERS, 0): 3}) == 3
        assert forget_dropped(connection, {(LETTERS, 0): 3}) == 0
        assert (LETTERS, 0) in read_places(connection)
    assert [row[2] for row in contents(model, dead_letters)["dead_letters"]] == [3, 4]

    with model.begin() as connection:
        assert forget_dropped(connection, {}) == 2
        assert (LETTERS, 0) not in read_places(connection)


def test_which_topics_are_read() -> None:
    existing = ["orders", LETTERS, ALERTS_TOPIC, "saga.steps", "saga.dlq.webhooks"]

    assert feed_topics(existing) == [ALERTS_TOPIC, LETTERS, "saga.dlq.webhooks"]


def test_the_alarms_that_are_raised_are_those_that_were_not_taken_back(model: Engine) -> None:
    paid, sent = Spot("order", "placed", "payments"), Spot("order", "charged", "")
    told = [
        ("1", paid, RAISED),
        ("2", sent, RAISED),
        ("3", paid, RAISED),
        ("4", sent, OVER),
        ("5", Spot("rental", "placed", "payments"), OVER),
    ]
    records = [
        FeedRecord(ALERTS_TOPIC, 0, n, NOON_MS, None, encoded(_standstill(*one, NOON_MS + n)))
        for n, one in enumerate(told)
    ]
    put(model, ALERTS_TOPIC, records, 0)

    with model.connect() as connection:
        assert raised_alarms(connection) == {paid: Raised("3", NOON_MS + 2)}


def _standstill(id_: str, place: Spot, cause: Cause, at_ms: int) -> Alert:
    return Alert(id_, "", place.key, place.flow, 0, cause, at_ms, "told")
