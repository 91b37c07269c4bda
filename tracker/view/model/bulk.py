"""Thousands of rows at once, as each database takes them quickest. All other SQL is the same for both."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql

from tracker.view.model.tables import numbers

Values = tuple[Any, ...]


class Bulk(Protocol):
    """Changes of one transaction. Names of columns are ours: none comes from outside."""

    def find(
        self, table: Table, columns: Sequence[str], key: str, among: Sequence[Any]
    ) -> Iterable[Sequence[Any]]:
        """These columns of the rows whose `key` is one of these."""

    def take_numbers(self, count: int) -> range | list[int]:
        """So many numbers that no saga has."""

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        """Insert rows. None of them may be there."""

    def change(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        """Set all of these columns but the first, which says in what row."""

    def remove(self, table: Table, key: str, among: Sequence[Any]) -> None:
        """Delete the rows whose `key` is one of these."""


def bulk(connection: Connection) -> Bulk:
    """The one for the database of this connection."""
    return _Postgresql(connection) if connection.dialect.name == "postgresql" else _Sqlite(connection)


class _Sqlite:
    """Statements that are prepared once and run for each row; there is no way to a server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(
        self, table: Table, columns: Sequence[str], key: str, among: Sequence[Any]
    ) -> Iterable[Sequence[Any]]:
        sql = f"SELECT {_listed(columns)} FROM {table.name} WHERE {key} IN (SELECT value FROM json_each(?))"
        return self._connection.exec_driver_sql(sql, (json.dumps(among),))

    def take_numbers(self, count: int) -> range:
        first: int = self._connection.exec_driver_sql(
            "SELECT coalesce(max(number), 0) + 1 FROM sagas"
        ).scalar_one()
        return range(first, first + count)

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        marks = ", ".join("?" * len(columns))
        self._run(f"INSERT INTO {table.name} ({_listed(columns)}) VALUES ({marks})", rows)

    def change(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        # Numbered, since the key comes first in the row and last in the statement.
        told = ", ".join(f'"{name}" = ?{place}' for place, name in enumerate(columns[1:], start=2))
        self._run(f"UPDATE {table.name} SET {told} WHERE {columns[0]} = ?1", rows)

    def remove(self, table: Table, key: str, among: Sequence[Any]) -> None:
        sql = f"DELETE FROM {table.name} WHERE {key} IN (SELECT value FROM json_each(?))"
        self._connection.exec_driver_sql(sql, (json.dumps(among),))

    def _run(self, sql: str, rows: Sequence[Values]) -> None:
        if rows:
            self._connection.exec_driver_sql(sql, list(rows))


class _Postgresql:
    """COPY, and one statement for all that came with it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # Each row is looked up by its key: of thousands at once the planner thinks reading all were less.
        for other in ("seqscan", "hashjoin", "mergejoin"):
            connection.exec_driver_sql(f"SET LOCAL enable_{other} = off")

    def find(
        self, table: Table, columns: Sequence[str], key: str, among: Sequence[Any]
    ) -> Iterable[Sequence[Any]]:
        sql = f"SELECT {_listed(columns)} FROM {table.name} WHERE {key} = ANY(%s)"
        return self._connection.exec_driver_sql(sql, (list(among),))

    def take_numbers(self, count: int) -> list[int]:
        sql = f"SELECT nextval('{numbers.name}') FROM generate_series(1, %s)"
        return list(self._connection.exec_driver_sql(sql, (count,)).scalars())

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        if rows:
            self._copy(table.name, table, columns, rows)

    def change(self, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        if not rows:
            return
        beside = f"changed_{table.name}_{len(columns)}"
        types = ", ".join(f'"{name}" {_type(table, name)}' for name in columns)
        run = self._connection.exec_driver_sql
        # Made once a session: what is made and dropped for each batch fills the catalog.
        run(f"CREATE TEMPORARY TABLE IF NOT EXISTS {beside} ({types}) ON COMMIT DELETE ROWS")
        run(f"DELETE FROM {beside}")
        self._copy(beside, table, columns, rows)
        told = ", ".join(f'"{name}" = {beside}."{name}"' for name in columns[1:])
        key = columns[0]
        run(f"UPDATE {table.name} SET {told} FROM {beside} WHERE {table.name}.{key} = {beside}.{key}")

    def remove(self, table: Table, key: str, among: Sequence[Any]) -> None:
        self._connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE {key} = ANY(%s)", (list(among),))

    def _copy(self, into: str, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
        cursor: Any = self._connection.connection.cursor()
        with cursor.copy(f"COPY {into} ({_listed(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types([_type(table, name).lower() for name in columns])
            for row in rows:
                copy.write_row(row)


_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


def _type(table: Table, column: str) -> str:
    return table.c[column].type.compile(_POSTGRESQL).partition(" ")[0]


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
