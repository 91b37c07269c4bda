"""What is kept between two questions is what would be found anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import Connection

from tests.api_client import reading
from tests.facts import NOON_MS
from tests.unit.test_flow_views import KNOWN, completed, late, of, open_
from tracker.core.saga import Saga, encode_saga
from tracker.view.model.batch import Record, batch_of
from tracker.view.model.tables import sagas
from tracker.view.model.write import write
from tracker.view.queries import kept
from tracker.view.queries.kept import kept_past, kept_traffic, rows_where
from tracker.view.queries.reader import Reader
from tracker.view.row import row_of

ROW = row_of(of(open_()), KNOWN)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with reading(tmp_path, {"a": of(completed()), "b": of(open_())}) as reader:
        yield reader


def put(reader: Reader, offset: int, id_: str, saga: Saga) -> None:
    record = Record(0, offset, id_.encode(), encode_saga(structs.replace(saga, id=id_)))
    with reader.engine.begin() as connection:
        write(connection, "changelog", batch_of([record], KNOWN), {0: (offset, offset + 1)})


def ended(connection: Connection, now_ms: int) -> tuple[int, int]:
    variants = kept_past(connection, KNOWN, ROW, now_ms).variants.listed()
    return sum(variant.sagas for variant in variants), kept_traffic(connection, KNOWN, ROW, now_ms).sagas


def test_a_past_of_few_sagas_has_each_that_ends(reader: Reader) -> None:
    with reader.engine.connect() as connection:
        assert ended(connection, NOON_MS) == (1, 1)
    put(reader, 2, "c", of(completed()))
    with reader.engine.connect() as connection:
        assert ended(connection, NOON_MS) == (2, 2)


def test_a_past_of_many_sagas_is_kept_for_a_while(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "PAST_MAX", 1)
    with reader.engine.connect() as connection:
        assert ended(connection, NOON_MS) == (1, 1)
    put(reader, 2, "c", of(completed()))
    with reader.engine.connect() as connection:
        assert ended(connection, NOON_MS + kept.PAST_KEPT_MS - 1) == (1, 1)
        assert ended(connection, NOON_MS + kept.PAST_KEPT_MS) == (1, 2)


def test_rows_are_those_of_the_newest_bytes(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> dict[str, str]:
        with reader.engine.connect() as connection:
            rows, count = rows_where(connection, KNOWN, [], sagas.c.began_ms.asc(), 10)
            assert count == len(rows)
        return {row.id: row.status.value for row in rows}

    first = found()
    assert (first, found()) == ({"a": "completed", "b": "open"}, first)
    monkeypatch.setattr(kept, "ROWS_MAX", 2)
    put(reader, 2, "b", of(late()))
    put(reader, 3, "c", of(completed()))
    changed = found()
    assert changed.keys() == {"a", "b", "c"}
    assert (changed["a"], changed["c"]) == ("completed", "completed")
    assert found() == changed
