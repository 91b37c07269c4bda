"""The saga table on a real RocksDB: what is folded is found again, and no row can bring it down."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from tests.facts import PLACED, event
from tracker.core.fold import fold
from tracker.core.frame import Fact
from tracker.core.saga import encode_saga
from tracker.store.cache import SagaCache
from tracker.store.rocks import OFFSET_KEY, RocksRows
from tracker.store.table import TOO_LARGE, UNREADABLE, SagaTable

FIRST: list[Fact] = [event("e-1", "order.placed")]
SECOND: list[Fact] = [event("e-2", "stock.reserved", cause="e-1")]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Rdict]:
    database = Rdict(str(tmp_path / "sagas"), Options(raw_mode=True))
    yield database
    database.close()


@pytest.fixture
def rows(database: Rdict) -> RocksRows:
    return RocksRows(lambda _: database)


def opened(rows: RocksRows, saga_bytes_max: int = 10_000) -> SagaTable:
    """As after a start: nothing in memory."""
    return SagaTable(rows, SagaCache(10), saga_bytes_max)


def commit(table: SagaTable, rows: RocksRows, offset: int = 1) -> dict[bytes, bytes]:
    taken = table.take().get(0, {})
    rows.write(0, taken, offset)
    table.written()
    return taken


def test_a_saga_goes_on_where_it_was_after_a_restart(rows: RocksRows) -> None:
    table = opened(rows)
    table.fold(0, {"s-1": FIRST})
    commit(table, rows)

    table = opened(rows)
    table.fold(0, {"s-1": SECOND})

    assert commit(table, rows) == {b"s-1": encode_saga(fold(None, "s-1", FIRST + SECOND))}


def test_what_tells_nothing_new_is_not_written_again(rows: RocksRows) -> None:
    table = opened(rows)
    table.fold(0, {"s-1": PLACED})
    commit(table, rows)
    table.fold(0, {"s-1": PLACED})

    assert table.dirty_count == 0
    assert table.take() == {}


def test_a_saga_folded_twice_before_a_commit_is_written_once(rows: RocksRows) -> None:
    table = opened(rows)
    table.fold(0, {"s-1": FIRST})
    table.fold(0, {"s-1": SECOND, "s-2": FIRST})

    assert list(commit(table, rows)) == [b"s-1", b"s-2"]


def test_the_rows_and_their_offset_are_one(rows: RocksRows, database: Rdict) -> None:
    table = opened(rows)
    table.fold(0, {"s-1": FIRST})
    commit(table, rows, offset=41)

    assert database[OFFSET_KEY] == b"41"


def test_a_row_that_cannot_be_read_is_reported_and_begins_anew(rows: RocksRows) -> None:
    rows.write(0, {b"s-1": b"\xc1"}, 1)
    table = opened(rows)
    table.fold(0, {"s-1": FIRST})

    assert table.trouble == {UNREADABLE: 1}
    assert commit(table, rows) == {b"s-1": encode_saga(fold(None, "s-1", FIRST))}


def test_a_saga_too_large_for_kafka_is_reported_and_holds_up_nobody(rows: RocksRows) -> None:
    table = opened(rows, saga_bytes_max=200)
    table.fold(0, {"large": [event(f"e-{number}", "any") for number in range(50)], "s-1": FIRST})

    assert list(commit(table, rows)) == [b"s-1"]
    assert table.trouble == {TOO_LARGE: 1}


def test_no_saga_can_take_the_place_of_the_offset(rows: RocksRows, database: Rdict) -> None:
    table = opened(rows)
    table.fold(0, {OFFSET_KEY.decode(): FIRST})

    assert commit(table, rows, offset=5) == {}
    assert database[OFFSET_KEY] == b"5"
