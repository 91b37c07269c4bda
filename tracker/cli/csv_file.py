"""A CSV file with a header line: its rows as JSON objects, and what is wrong with them."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec import json

from saga.core.errors import SagaError

ROW_BYTES_MAX = 900_000
"""A larger row does not fit into a record: the brokers' usual limit less 10 %."""

PROBLEMS_MAX = 20
_LINE_BYTES_MAX = 4 * ROW_BYTES_MAX
_LOOK_EVERY_ROWS = 500


class UnusableFile(SagaError):
    """The file can't be read as CSV, or lacks a column. The message says what to do."""


class Row(NamedTuple):
    """One row: the line on which it begins, its key if a column was named for it, and its JSON."""

    line: int
    key: bytes | None
    value: bytes


class CsvFile:
    """A file in UTF-8. All values stay text, since CSV says of none what else it is.

    Parameters
    ----------
    key : the column with the key of each row; None: rows have none.

    Raises
    ------
    UnusableFile
        It is no file, can't be opened, has no header, names a column twice, or lacks the one for the key.
    """

    def __init__(self, path: Path, key: str | None = None, delimiter: str = ",") -> None:
        self.path = path
        self._key = key
        self._delimiter = delimiter
        # A value may be as long as a row: the library's own limit is a seventh of that.
        csv.field_size_limit(ROW_BYTES_MAX)
        try:
            self.size = path.stat().st_size
            if not path.is_file():
                raise UnusableFile(f"{path} is no file, and it has to be read twice: save it first")
            _, self.columns = next(self._lines(lambda _: None), (0, []))
        except OSError as error:
            raise UnusableFile(f"{path} can't be read: {error.strerror}") from error
        self._check_columns()

    def problems(self, read: Callable[[int], None]) -> list[str]:
        """What is wrong with its rows, by line; so many of them that `PROBLEMS_MAX` can be told, and one.

        `read` is told now and then how many bytes have been read.
        """
        found: list[str] = []
        try:
            for line, cells in self._rows(read):
                problem = self._problem(cells)
                if problem:
                    found.append(f"{self.path}:{line}: {problem}")
                if len(found) > PROBLEMS_MAX:
                    return found
        except UnusableFile as error:
            found.append(str(error))  # it can't be read on from here
        return found

    def rows(self, read: Callable[[int], None]) -> Iterator[Row]:
        """The rows.

        Raises
        ------
        UnusableFile
            There is a problem. That is seen when its line is reached: ask for `problems` before.
        """
        key = None if self._key is None else self.columns.index(self._key)
        for line, cells in self._rows(read):
            problem = self._problem(cells)
            if problem:
                raise UnusableFile(f"{self.path}:{line}: {problem}")
            value = json.encode(dict(zip(self.columns, cells, strict=True)))
            yield Row(line, None if key is None else cells[key].encode(), value)

    def _check_columns(self) -> None:
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if not self.columns:
            raise UnusableFile(f"{self.path} is empty: its first line has to name the columns")
        if twice:
            raise UnusableFile(f"{self.path}:1: several columns are named {', '.join(twice)!r}: rename them")
        if self._key is not None and self._key not in self.columns:
            raise UnusableFile(
                f"{self.path} has no column {self._key!r} for the key, but {', '.join(self.columns)}"
            )

    def _problem(self, cells: list[str]) -> str:
        if len(cells) != len(self.columns):
            return (
                f"{len(cells)} values, but the header names {len(self.columns)} columns: "
                f"put values with {self._delimiter!r} in quotes, or mend the line"
            )
        if self._key is not None and not cells[self.columns.index(self._key)]:
            return f"no value in the column {self._key!r}, which is the key"
        # As JSON a character takes six bytes at most: most rows need no closer look.
        if 6 * sum(map(len, cells)) > ROW_BYTES_MAX:
            size = len(json.encode(dict(zip(self.columns, cells, strict=True))))
            if size > ROW_BYTES_MAX:
                return f"{size:,} bytes as JSON, but {ROW_BYTES_MAX:,} fit into a record"
        return ""

    def _rows(self, read: Callable[[int], None]) -> Iterator[tuple[int, list[str]]]:
        lines = self._lines(read)
        next(lines, None)
        for line, cells in lines:
            if cells:  # an empty line is none
                yield line, cells

    def _lines(self, read: Callable[[int], None]) -> Iterator[tuple[int, list[str]]]:
        """The line on which each row begins, and its values; the header is one of them."""
        line, done = 1, 0
        with self.path.open("rb") as raw:

            def decoded() -> Iterator[str]:
                nonlocal done
                # Never more of a line than fits into a record: a file may be one endless line.
                lines = iter(lambda: raw.readline(_LINE_BYTES_MAX), b"")
                for number, text in enumerate(lines, start=1):
                    done += len(text)
                    if len(text) == _LINE_BYTES_MAX:
                        raise UnusableFile(f"{self.path}:{number}: the line is too long for a record")
                    try:
                        # Spreadsheets put a mark in front of the first line.
                        yield text.decode("utf-8-sig" if number == 1 else "utf-8")
                    except UnicodeDecodeError as error:
                        message = f"{self.path}:{number}: this is no UTF-8: save the file as UTF-8"
                        raise UnusableFile(message) from error

            reader = csv.reader(decoded(), delimiter=self._delimiter, strict=True)
            try:
                for number, cells in enumerate(reader):
                    yield line, cells
                    line = reader.line_num + 1
                    if number % _LOOK_EVERY_ROWS == 0:
                        read(done)
            except csv.Error as error:
                raise UnusableFile(f"{self.path}:{line}: this is no CSV: {error}") from error
        read(done)
