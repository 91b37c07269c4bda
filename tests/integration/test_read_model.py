"""The read model on SQLite and on a real PostgreSQL: what is written is found, once, and nothing else."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Set
from dataclasses import replace
from itertools import count
from operator import attrgetter

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import Connection, Engine, Table, func, select, text

from tests.databases import DATABASES, database
from tests.facts import NOON_MS
from tests.unit.test_flow_views import KNOWN, compensating, completed, late, of, open_, stuck
from tracker.core.clock import CLOCK_ROW
from tracker.core.contract.expected import Edge
from tracker.core.contract.findings import Kind
from tracker.core.saga import Joins, Link, Saga, encode_saga
from tracker.core.status import ENDED, Status
from tracker.view.clocks import RUNNING, Stand
from tracker.view.model.access import access_sessions, access_tokens
from tracker.view.model.batch import Batch, Record, SagaRow, batch_of
from tracker.view.model.database import DatabaseUnavailable, open_model
from tracker.view.model.search import Cursor, Limits, Order, Wanted, counts, rows_of, saga_bytes, search
from tracker.view.model.shape import SEPARATOR
from tracker.view.model.tables import chains, errors, joined, metadata, sagas, shapes, unreadable
from tracker.view.model.tallied import tallied
from tracker.view.model.write import AnotherProjector, begin_anew, read_positions, write
from tracker.view.queries.reader import QuestionTooSlow, Reader

TOPIC, CLUSTER = "changelog", "cluster-1"


@pytest.fixture(scope="module", params=DATABASES)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param) as url:
        yield url


@pytest.fixture(scope="module")
def engine(url: str) -> Iterator[Engine]:
    engine = open_model(url)
    yield engine
    engine.dispose()


@pytest.fixture
def model(engine: Engine) -> Engine:
    with engine.begin() as connection:
        begin_anew(connection, TOPIC, CLUSTER, {0: 0})
    return engine


PLAYS = [of(play) for play in (open_(), completed(), late(), compensating(), stuck())]


def named(saga: Saga, id_: str) -> Saga:
    return structs.replace(saga, id=id_)


def record(offset: int, id_: str, saga: Saga | None) -> Record:
    return Record(0, offset, id_.encode(), None if saga is None else encode_saga(named(saga, id_)))


def put(model: Engine, records: list[Record], begin: int, end: int) -> None:
    with model.begin() as connection:
        write(connection, TOPIC, batch_of(records, KNOWN), {0: (begin, end)})


def contents(model: Engine) -> dict[str, set[tuple[object, ...]]]:
    """All that sagas make in the database; numbers of rows, which mean nothing, apart."""
    with model.connect() as connection:
        chained = select(sagas.c.id, chains.c.value).outerjoin(chains, chains.c.number == sagas.c.number)
        assert connection.scalar(select(func.count()).select_from(chains)) == count_of(connection, sagas)
        return {
            "sagas": {structs.astuple(row) for row in every_row(connection)},
            "chains": {tuple(row) for row in connection.execute(chained)},
            **{
                table.name: {tuple(row) for row in connection.execute(select(table))}
                for table in (shapes, errors, joined, unreadable)
            },
        }


def count_of(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def every_row(connection: Connection) -> list[SagaRow]:
    return rows_of(connection, list(connection.scalars(select(sagas.c.id))))


def test_the_migrations_make_the_tables_that_the_code_names(engine: Engine, url: str) -> None:
    open_model(url).dispose()  # once more changes nothing

    assert {access_sessions.metadata, access_tokens.metadata} == {metadata}
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize("name", DATABASES)
def test_several_processes_may_open_a_new_database_at_once(name: str) -> None:
    opening = "import sys; from tracker.view.model.database import open_model; open_model(sys.argv[1])"
    with database(name) as url:
        processes = [subprocess.Popen([sys.executable, "-c", opening, url]) for _ in range(4)]
        assert [process.wait(timeout=60) for process in processes] == [0] * 4


def test_a_saga_is_written_replaced_and_removed(model: Engine) -> None:
    put(model, [record(0, "a", PLAYS[0]), record(1, "b", PLAYS[4])], 0, 2)
    put(model, [record(2, "a", PLAYS[1]), record(3, "b", None)], 2, 4)

    with model.connect() as connection:
        (row,) = search(connection, Wanted(), Order.NEWEST, 10, NOON_MS).rows
        assert (row.id, row.status, row.offset) == ("a", "completed", 2)
        assert saga_bytes(connection, "a") == encode_saga(named(PLAYS[1], "a"))
        assert saga_bytes(connection, "b") is None
        assert read_positions(connection, TOPIC, CLUSTER) == {0: 4}
        assert read_positions(connection, TOPIC, "another") == {}


def test_what_is_no_saga_is_told_until_one_comes(model: Engine) -> None:
    put(
        model, [record(0, "a", PLAYS[0]), Record(0, 1, b"a", b"\xc1"), Record(0, 2, b"\xff\0", b"\xc1")], 0, 3
    )
    assert {row[0] for row in contents(model)["unreadable"]} == {"a", "\ufffd\ufffd"}
    assert not contents(model)["sagas"]

    put(model, [record(3, "a", PLAYS[0])], 3, 4)

    assert {row[0] for row in contents(model)["unreadable"]} == {"\ufffd\ufffd"}
    assert len(contents(model)["sagas"]) == 1


def test_keys_that_are_no_text_do_not_stop_it(model: Engine) -> None:
    put(model, [record(0, "a\0", PLAYS[0]), record(1, "a\ufffd", PLAYS[0]), Record(0, 2, b"", None)], 0, 3)

    assert [row[0] for row in contents(model)["sagas"]] == ["a\ufffd"]


def test_a_saga_that_belongs_to_another_one_leads_to_it(model: Engine) -> None:
    part = structs.replace(PLAYS[0], steps={}, course=None, joins=Joins((Link(0, "whole"),)))
    circle = structs.replace(part, joins=Joins((Link(0, "circle"),)))
    put(model, [record(0, "whole", PLAYS[0]), record(1, "part", part), record(2, "circle", circle)], 0, 3)

    with model.connect() as connection:
        assert saga_bytes(connection, "part") == encode_saga(named(PLAYS[0], "whole"))
        assert saga_bytes(connection, "circle") is None


def test_a_batch_may_be_larger_than_what_a_statement_takes(model: Engine) -> None:
    put(model, [record(0, "first", PLAYS[0]), record(1, "last", PLAYS[0])], 0, 2)
    others = [record(offset, f"s-{offset}", None) for offset in range(3, 70_000)]

    put(model, [record(2, "first", None), *others, record(70_000, "last", None)], 2, 70_001)

    assert not any(contents(model).values())


def test_the_clock_of_the_table_is_no_saga(model: Engine) -> None:
    put(model, [Record(0, 0, CLOCK_ROW.encode(), b"\xc1")], 0, 1)

    assert not any(contents(model).values())


def test_two_that_write_to_one_database_are_told(model: Engine) -> None:
    put(model, [record(0, "a", PLAYS[0])], 0, 1)
    before = contents(model)

    with pytest.raises(AnotherProjector, match="changelog-0 does not stand at 0"):
        put(model, [record(0, "a", PLAYS[1])], 0, 1)

    assert contents(model) == before


def test_what_dies_before_the_commit_is_written_once_when_it_comes_again(model: Engine) -> None:
    records = [record(0, "a", PLAYS[0]), record(1, "a", PLAYS[1])]
    with model.connect() as connection:
        connection.begin()
        write(connection, TOPIC, batch_of(records, KNOWN), {0: (0, 2)})
    assert not any(contents(model).values())

    put(model, records, 0, 2)

    assert len(contents(model)["sagas"]) == len(contents(model)["chains"]) == 1


ids = st.text("ab-", min_size=1, max_size=2)
changes = st.lists(st.tuples(ids, st.none() | st.sampled_from(PLAYS)), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(changes, st.integers(1, 5))
def test_it_does_not_matter_how_changes_are_batched(
    model: Engine, told: list[tuple[str, Saga | None]], size: int
) -> None:
    records = [record(offset, id_, saga) for offset, (id_, saga) in enumerate(told)]
    begin_again(model)
    put(model, records, 0, len(records))
    at_once = contents(model)

    begin_again(model)
    for begin in range(0, len(records), size):
        part = records[begin : begin + size]
        put(model, part, begin, begin + len(part))

    assert contents(model) == at_once


def begin_again(model: Engine) -> None:
    with model.begin() as connection:
        begin_anew(connection, TOPIC, CLUSTER, {0: 0})


names = st.sampled_from(["a", "b", "ab", "é"])


def joined_by(found: Set[str]) -> str:
    return SEPARATOR + SEPARATOR.join(sorted(found)) + SEPARATOR if found else ""


several = st.sets(names).map(joined_by)
kinds = st.sampled_from(list(Kind))
edges = st.builds(Edge, names, names, names)
edge_id = attrgetter("id")
times = st.integers(-2, 6)
statuses = st.sampled_from(list(Status))


def as_it_is_made(row: SagaRow) -> SagaRow:
    """No warning without a deadline, and an end and a variant where the status says so."""
    ended = Status(row.status) in ENDED
    return structs.replace(
        row,
        warn_at_ms=None if row.due_ms is None else row.warn_at_ms,
        ended_ms=row.ended_ms if ended else None,
        variant=row.variant if ended else None,
    )


rows = st.lists(
    st.builds(
        SagaRow,
        id=st.text("abAé", min_size=1, max_size=3),
        flow=names,
        flow_version=st.integers(0, 2),
        begins=names,
        status=statuses.map(str),
        business_key=names,
        place=names,
        began_ms=times,
        acted_ms=times,
        ended_ms=times,
        variant=st.integers(-1, 1),
        waits_ms=st.none() | times,
        warn_at_ms=st.none() | times,
        due_ms=st.none() | times,
        found_ms=st.none() | times,
        events=st.integers(0, 3),
        waiting_for=several,
        services=several,
        types=several,
        edges=st.sets(edges.map(edge_id)).map(joined_by),
        findings=st.sets(kinds).map(joined_by),
        errors=st.text("ab%_\n", max_size=4),
        described=st.just(1),
        partition=st.just(0),
        offset=st.just(0),
    ).map(as_it_is_made),
    unique_by=lambda row: row.id,
    max_size=12,
)
stands: st.SearchStrategy[Stand] = st.sampled_from(sorted(RUNNING))
# Most questions ask for one or two things.
wanted = st.lists(
    st.one_of(
        st.builds(dict, flow=names),
        st.builds(dict, flow_version=st.integers(0, 2)),
        st.builds(dict, statuses=st.frozensets(statuses)),
        st.builds(dict, place=names),
        st.builds(dict, business_key=names),
        st.builds(dict, id_prefix=st.text("abAé", max_size=2)),
        st.builds(dict, event_type=names),
        st.builds(dict, service=names),
        st.builds(dict, waiting_for=names),
        st.builds(dict, variant=st.integers(-1, 1).map(lambda number: f"{number % 2**64:016x}")),
        st.builds(dict, edge=edges),
        st.builds(dict, error=st.text("ab%_", max_size=2)),
        st.builds(dict, stand=stands),
        st.builds(dict, at_risk=st.booleans()),
        st.builds(dict, waiting_until_ms=times),
        st.builds(dict, findings=st.frozensets(kinds)),
        st.builds(dict, began_from_ms=times),
        st.builds(dict, began_until_ms=times),
        st.builds(dict, ended_from_ms=times),
        st.builds(dict, ended_until_ms=times),
    ),
    max_size=2,
).map(lambda asked: replace(Wanted(), **{name: value for part in asked for name, value in part.items()}))

some = st.integers(0, 6)
limits = st.just(Limits()) | st.builds(Limits, some, some, some, some, some)


def test_what_lies_deep_among_the_ended_ones_comes_before_later_ones_in_flight(model: Engine) -> None:
    in_flight, over = batch_of([record(0, "a", PLAYS[0]), record(1, "b", PLAYS[1])], KNOWN).rows
    found = [
        *(structs.replace(in_flight, id=f"f-{n}", acted_ms=10 + n, errors="boom") for n in range(3)),
        *(structs.replace(over, id=f"e-{n}", acted_ms=n, errors="boom" * (n == 5)) for n in range(6)),
    ]
    ids = [row.id for row in found]
    with model.begin() as connection:
        write(
            connection,
            TOPIC,
            Batch(found, dict.fromkeys(ids, b"-"), {}, {}, ids, tallied([]), KNOWN),
            {0: (0, 1)},
        )
    with model.connect() as connection:
        page = search(connection, Wanted(error="boom"), Order.STALEST, 2, 20, None, Limits(0, 0, 3, 4, 0))
        assert [row.id for row in page.rows] == ["e-5", "f-0"]


KEYS: dict[Order, Callable[[SagaRow], tuple[int, str]]] = {
    Order.NEWEST: lambda row: (row.began_ms, row.id),
    Order.OLDEST: lambda row: (row.began_ms, row.id),
    Order.STALEST: lambda row: (row.acted_ms, row.id),
    Order.LATEST: lambda row: (row.acted_ms, row.id),
}


def stand_of(row: SagaRow, now_ms: int) -> Stand | None:
    if row.due_ms is None:
        return None
    if row.due_ms <= now_ms:
        return "overdue"
    return "due soon" if row.warn_at_ms is not None and row.warn_at_ms <= now_ms else "on time"


def waits_since(row: SagaRow) -> float:
    return math.inf if row.waits_ms is None else row.waits_ms


def found_by(asked: frozenset[Kind], row: SagaRow, now_ms: int) -> bool:
    return row.found_ms is not None and row.found_ms <= now_ms and not asked.isdisjoint(row.findings.split())


def variant_of(row: SagaRow) -> str:
    return "" if row.variant is None else f"{row.variant % 2**64:016x}"


def ended_at(row: SagaRow, otherwise: float) -> float:
    return otherwise if row.ended_ms is None else row.ended_ms


def takes(asked: Wanted, row: SagaRow, now_ms: int) -> bool:
    """The same question, in plain Python."""
    return (
        (asked.flow is None or asked.flow in (row.flow, row.begins))
        and (asked.flow_version is None or asked.flow_version == row.flow_version)
        and (not asked.statuses or row.status in asked.statuses)
        and (asked.place is None or asked.place == row.place)
        and (asked.business_key is None or asked.business_key == row.business_key)
        and row.id.startswith(asked.id_prefix)
        and (asked.event_type is None or asked.event_type in row.types.split(SEPARATOR))
        and (asked.service is None or asked.service in row.services.split(SEPARATOR))
        and (asked.waiting_for is None or asked.waiting_for in row.waiting_for.split(SEPARATOR))
        and (asked.variant is None or asked.variant == variant_of(row))
        and (asked.edge is None or asked.edge.id in row.edges.split(SEPARATOR))
        and asked.error in row.errors
        and (asked.stand is None or asked.stand == stand_of(row, now_ms))
        and (not asked.at_risk or stand_of(row, now_ms) in ("due soon", "overdue"))
        and (asked.waiting_until_ms is None or waits_since(row) <= asked.waiting_until_ms)
        and (not asked.findings or found_by(asked.findings, row, now_ms))
        and (asked.began_from_ms is None or row.began_ms >= asked.began_from_ms)
        and (asked.began_until_ms is None or row.began_ms < asked.began_until_ms)
        and (asked.ended_from_ms is None or ended_at(row, -math.inf) >= asked.ended_from_ms)
        and (asked.ended_until_ms is None or ended_at(row, math.inf) < asked.ended_until_ms)
    )


def all_pages(
    connection: Connection, asked: Wanted, order: Order, limit: int, now_ms: int, limits: Limits
) -> Iterator[SagaRow]:
    cursor: Cursor | None = None
    for page_number in count():
        assert page_number < 100
        rows, cursor = search(connection, asked, order, limit, now_ms, cursor, limits)
        assert len(rows) <= limit
        yield from rows
        if cursor is None:
            return


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    rows, st.lists(wanted, min_size=1, max_size=8), st.sampled_from(Order), st.integers(1, 4), times, limits
)
def test_searching_finds_what_a_filter_in_python_finds_page_by_page(
    model: Engine,
    found: list[SagaRow],
    questions: list[Wanted],
    order: Order,
    limit: int,
    now_ms: int,
    limits: Limits,
) -> None:
    begin_again(model)
    with model.begin() as connection:
        ids = [row.id for row in found]
        write(
            connection,
            TOPIC,
            Batch(found, dict.fromkeys(ids, b"-"), {}, {}, ids, tallied([]), KNOWN),
            {0: (0, 1)},
        )
    ordered = sorted(found, key=KEYS[order], reverse=order in (Order.NEWEST, Order.LATEST))

    with model.connect() as connection:
        for asked in questions:
            expected = [row for row in ordered if takes(asked, row, now_ms)]
            assert list(all_pages(connection, asked, order, limit, now_ms, limits)) == expected
        assert sum(counts(connection).values()) == len(found)


def test_what_a_saga_is_found_by(model: Engine) -> None:
    put(model, [record(offset, f"s-{offset}", saga) for offset, saga in enumerate(PLAYS)], 0, len(PLAYS))
    now_ms = NOON_MS + 4_500

    def found(asked: Wanted) -> list[str]:
        with model.connect() as connection:
            return [row.id for row in search(connection, asked, Order.OLDEST, 10, now_ms).rows]

    everyone = [f"s-{number}" for number in range(5)]
    assert found(Wanted(flow="order", flow_version=1)) == everyone
    assert found(Wanted(business_key="o-1042")) == everyone
    assert found(Wanted(statuses=frozenset({Status.STUCK, Status.COMPENSATING}))) == ["s-3", "s-4"]
    assert found(Wanted(event_type="parcel.lost")) == ["s-3", "s-4"]
    assert found(Wanted(waiting_for="inventory", statuses=frozenset({Status.OPEN}))) == ["s-0"]
    assert found(Wanted(stand="overdue")) == []
    with model.connect() as connection:
        (row,) = search(connection, Wanted(id_prefix="s-0"), Order.OLDEST, 10, now_ms).rows
    assert row.due_ms == NOON_MS + 5_010


def test_a_url_that_can_not_be_used_is_told_with_the_way_out() -> None:
    for url in ("sagas.db", "mysql://host/sagas", "oracle://host/sagas"):
        with pytest.raises(DatabaseUnavailable, match=r"sqlite:///data/sagas\.db"):
            open_model(url)
    with pytest.raises(DatabaseUnavailable, match="can't be used") as told:
        open_model("postgresql+psycopg://someone:secret@127.0.0.1:1/sagas")
    assert "secret" not in str(told.value)
    with pytest.raises(DatabaseUnavailable, match="no folder"):
        open_model("sqlite:////dev/null/data/sagas.db")


def test_a_database_of_a_later_version_is_left_alone(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/sagas.db"
    engine = open_model(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('9999')")
    engine.dispose()

    with pytest.raises(DatabaseUnavailable, match="run a later version of saga"):
        open_model(url)


async def test_a_question_that_takes_too_long_is_given_up_and_others_are_answered(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        return  # SQLite knows no such limit
    reader = Reader(engine, answer_seconds=0.05)
    try:
        with pytest.raises(QuestionTooSlow, match="ask for a shorter time"):
            await reader.ask(lambda connection: connection.execute(text("SELECT pg_sleep(30)")))
        assert await reader.ask(lambda connection: connection.scalar(text("SELECT 1"))) == 1
    finally:
        reader.close()


async def test_a_database_that_was_started_anew_is_asked_again(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        return  # a file has no connections that break
    reader = Reader(engine)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    try:
        with engine.connect() as one, engine.connect() as other:
            assert other.scalar(text("SELECT 1")) == 1
            other.rollback()
            one.execute(text(f"{others} AND datname = current_database()"))
        assert await reader.ask(lambda connection: connection.scalar(text("SELECT 1"))) == 1
    finally:
        reader.close()
