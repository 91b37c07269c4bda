"""The read model counts sagas and numbers changes as it writes them, on both databases."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import Connection, Engine

from tests.facts import NOON_MS
from tests.unit.test_flow_views import KNOWN, compensating, completed, late, of, open_, stuck
from tracker.core.contract.tally import Tally
from tracker.core.contract.traffic import Traffic
from tracker.core.quantiles import Quantiles
from tracker.core.saga import Joins, Link, Saga, encode_saga
from tracker.core.status import Status
from tracker.core.way import walk
from tracker.view.clocks import worst
from tracker.view.known import Known
from tracker.view.model.aggregates import DAY_MS, HOUR_MS, Hour, Standing, hours, standing, traffic
from tracker.view.model.batch import Record, batch_of
from tracker.view.model.changes import CHANGES_KEPT, changes_since, newest_revision, note_changes
from tracker.view.model.ended import Ended, Group, ended_ms, ended_of
from tracker.view.model.write import begin_anew, write
from tracker.view.row import row_of

TOPIC, CLUSTER = "changelog", "cluster-1"
PLAYS = [of(play) for play in (open_(), completed(), late(), compensating(), stuck())]
PART = structs.replace(PLAYS[0], steps={}, course=None, joins=Joins((Link(0, "whole"),)))
NOTHING_KNOWN = Known()


@pytest.fixture
def model(engine: Engine) -> Engine:
    begin_again(engine)
    return engine


def begin_again(model: Engine) -> None:
    with model.begin() as connection:
        begin_anew(connection, TOPIC, CLUSTER, {0: 0})


class Writer:
    """Writes changes, one batch after the other."""

    def __init__(self, model: Engine) -> None:
        self._model = model
        self._offset = 0

    def put(self, told: dict[str, Saga | bytes | None], known: Known = KNOWN) -> None:
        records = []
        for offset, (id_, saga) in enumerate(told.items(), start=self._offset):
            value = encode_saga(structs.replace(saga, id=id_)) if isinstance(saga, Saga) else saga
            records.append(Record(0, offset, id_.encode(), value))
        end = self._offset + len(records)
        with self._model.begin() as connection:
            write(connection, TOPIC, batch_of(records, known), {0: (self._offset, end)})
        self._offset = end


def counted(ended: list[Ended]) -> tuple[list[Hour], Traffic]:
    """The same from all sagas that have ended."""
    found, went = dict[tuple[Any, ...], Hour](), Tally()
    for one in ended:
        key = *one.group, one.at_ms // HOUR_MS * HOUR_MS
        hour = found.setdefault(key, Hour(*key, 0, 0, 0, 0, 0, Quantiles()))
        setattr(hour, one.status.value, getattr(hour, one.status.value) + 1)
        hour.breached += one.breached
        hour.durations.add(one.took_ms)
        went.add(one.went)
    return [found[key] for key in sorted(found, key=str)], went.traffic()


def where(sagas: dict[str, tuple[Saga, Known]], now_ms: int) -> list[Standing]:
    """The same from all sagas that are in flight."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for saga, known in sagas.values():
        row = row_of(saga, known)
        if row.in_flight:
            key = row.flow, row.flow_version, row.begins, row.status.value, row.where
            counts = found.setdefault(key, [0, 0, 0, 0])
            stand = worst(row.clocks, now_ms) if row.clocks else ""
            for index, one in enumerate((True, bool(row.clocks), stand == "due soon", stand == "overdue")):
                counts[index] += one
    return [
        Standing(flow, version, begins, Status(status), place, *counts)
        for (flow, version, begins, status, place), counts in sorted(found.items(), key=str)
    ]


ids = st.sampled_from(["a", "b", "c"])
told = st.dictionaries(ids, st.none() | st.sampled_from([*PLAYS, PART, b"\xc1"]), max_size=3)
batches = st.lists(st.tuples(told, st.sampled_from([KNOWN, KNOWN, NOTHING_KNOWN])), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(batches, st.integers(-1, 70_000))
def test_what_was_counted_batch_by_batch_is_what_all_sagas_come_to(
    model: Engine, told: list[tuple[dict[str, Saga | bytes | None], Known]], after_ms: int
) -> None:
    begin_again(model)
    writer = Writer(model)
    now: dict[str, tuple[Saga, Known]] = {}
    removed: list[Ended] = []
    for changes, known in told:
        writer.put(changes, known)
        for id_, saga in changes.items():
            before = now.pop(id_, None)
            if isinstance(saga, Saga) and not saga.joined:
                now[id_] = saga, known
            elif saga is None and before is not None:
                removed += ended([before])
    expected_hours, expected_traffic = counted([*removed, *ended(list(now.values()))])

    with model.connect() as connection:
        found = [hour for hour in hours(connection, None, None, 0, 2 * NOON_MS) if hour.ended]
        assert sorted(found, key=str) == sorted(expected_hours, key=str)
        assert traffic(connection, None, None, 0, 2 * NOON_MS) == expected_traffic
        assert standing(connection, NOON_MS + after_ms) == where(now, NOON_MS + after_ms)


def ended(sagas: list[tuple[Saga, Known]]) -> list[Ended]:
    found = []
    for saga, known in sagas:
        row = row_of(saga, known)
        if not row.in_flight:
            group = Group(row.flow, row.flow_version, row.begins)
            at_ms = ended_ms(saga, row.status)
            words = known.undo_words(saga)
            told = ended_of(saga, walk(saga, words), group, row.status, row.began_ms, at_ms, words)
            found.append(told)
    return found


def test_statistics_are_told_by_flow_version_and_time(model: Engine) -> None:
    Writer(model).put({"a": PLAYS[1], "b": PLAYS[2]})

    def sagas(
        connection: Connection, flow: str | None, version: int | None, from_ms: int, until_ms: int
    ) -> int:
        ended = sum(hour.ended for hour in hours(connection, flow, version, from_ms, until_ms))
        assert traffic(connection, flow, version, from_ms, until_ms).sagas == ended
        return ended

    day_ms = NOON_MS // DAY_MS * DAY_MS
    with model.connect() as connection:
        assert sagas(connection, None, None, day_ms, day_ms + DAY_MS) == 2
        assert sagas(connection, "order", 1, day_ms, day_ms + DAY_MS) == 2
        assert sagas(connection, "order.placed", None, day_ms, day_ms + DAY_MS) == 2
        assert sagas(connection, "order", 2, day_ms, day_ms + DAY_MS) == 0
        assert sagas(connection, "visit", None, day_ms, day_ms + DAY_MS) == 0
        assert sagas(connection, None, None, day_ms - DAY_MS, day_ms) == 0
        assert sagas(connection, None, None, day_ms + DAY_MS, day_ms + 2 * DAY_MS) == 0
        (hour,) = hours(connection, "order", 1, NOON_MS, NOON_MS + 1)
        assert (hour.completed, hour.breached, hour.hour_ms) == (2, 1, NOON_MS)


def test_changes_are_told_from_where_a_client_is(model: Engine) -> None:
    writer = Writer(model)
    with model.connect() as connection:
        begin = newest_revision(connection)
        assert changes_since(connection, begin, 10).rows == []
    writer.put({"a": PLAYS[0], "b": PLAYS[0], "c": PLAYS[0]})
    writer.put({"a": PLAYS[1], "b": None})

    with model.connect() as connection:
        assert newest_revision(connection) == begin + 5
        everything = changes_since(connection, begin, 10)
        assert [(row.id, row.status) for row in everything.rows] == [("a", "completed"), ("c", "open")]
        assert (everything.removed, everything.revision, everything.complete) == (["b"], begin + 5, True)
        newest = changes_since(connection, begin + 4, 10)
        assert (newest.rows, newest.removed, newest.revision) == ([], ["b"], begin + 5)
        nothing = changes_since(connection, begin + 5, 10)
        assert (nothing.rows, nothing.removed, nothing.revision) == ([], [], begin + 5)


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_changes_come_in_pages_without_a_gap(model: Engine, limit: int) -> None:
    writer = Writer(model)
    with model.connect() as connection:
        revision = newest_revision(connection)
    writer.put({f"s-{number}": PLAYS[0] for number in range(4)})
    writer.put({f"s-{number}": PLAYS[0] for number in range(4, 7)})
    found: list[str] = []
    with model.connect() as connection:
        while len(found) < 7:
            page = changes_since(connection, revision, limit)
            assert 1 <= len(page.rows) <= limit
            found += [row.id for row in page.rows]
            revision = page.revision
        assert changes_since(connection, revision, limit).rows == []
    assert found == [f"s-{number}" for number in range(7)]


def test_who_is_too_far_back_or_from_another_time_has_to_read_anew(model: Engine) -> None:
    with model.begin() as connection:
        begin = newest_revision(connection)
        for _ in range(3):
            note_changes(connection, ["s"] * CHANGES_KEPT)
        newest = newest_revision(connection)

        assert changes_since(connection, newest - CHANGES_KEPT, 1).complete
        for lost in (begin, newest - 2 * CHANGES_KEPT, newest + 1):
            told = changes_since(connection, lost, 10)
            assert (told.complete, told.rows, told.revision) == (False, [], newest)
    begin_again(model)
    with model.connect() as connection:
        assert not changes_since(connection, newest, 10).complete
        assert newest_revision(connection) > newest
