"""CSV files: rows as JSON, and each mistake with its line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from saga.cli.app import application
from tracker.cli.csv_file import PROBLEMS_MAX, ROW_BYTES_MAX, CsvFile, UnusableFile


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_are_objects_of_texts(tmp_path: Path) -> None:
    told: list[int] = []
    text = '\ufeffcase,what,note\nc-1,"placed, late","two\nlines"\n\nc-2,7,\n'
    file = CsvFile(written(tmp_path, text), key="case")

    assert file.problems(told.append) == []
    assert [(row.line, row.key, json.loads(row.value)) for row in file.rows(told.append)] == [
        (2, b"c-1", {"case": "c-1", "what": "placed, late", "note": "two\nlines"}),
        (5, b"c-2", {"case": "c-2", "what": "7", "note": ""}),
    ]
    assert told[-1] == file.size


def test_other_delimiters_are_taken(tmp_path: Path) -> None:
    (row,) = CsvFile(written(tmp_path, "a;b\n1;2"), delimiter=";").rows(lambda _: None)

    assert (row.key, json.loads(row.value)) == (None, {"a": "1", "b": "2"})


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "a,b\n1\n1,2\n1,2,3\n",
            ["2: 1 values, but the header names 2", "4: 3 values, but the header names 2"],
        ),
        ("a,b\n,2\n", ["2: no value in the column 'a', which is the key"]),
        (b"a,b\n1,2\n1,\xff\n", ["3: this is no UTF-8: save"]),
        ('a,b\n1,"2\n', ["2: this is no CSV: unexpected end of data"]),
        ('a,b\n1,"2"x\n', ["2: this is no CSV: ',' expected after"]),
        ("a,b\n1," + "x" * 4_000_000, ["2: the line is too long for a record"]),
        ("a,b\n1," + "x" * (ROW_BYTES_MAX - 5), ["2: 900,011 bytes as JSON, but 900,000 fit into a record"]),
    ],
)
def test_bad_rows_are_told_with_their_lines(tmp_path: Path, text: str | bytes, problems: list[str]) -> None:
    path = written(tmp_path, text)
    head = text.partition("\n")[0] if isinstance(text, str) else "a"
    found = CsvFile(path, key=head[:1]).problems(lambda _: None)

    assert len(found) == len(problems)
    for told, expected in zip(found, problems, strict=True):
        assert told.startswith(f"{path}:{expected}"), told


def test_no_more_problems_are_looked_for_than_are_told(tmp_path: Path) -> None:
    assert (
        len(CsvFile(written(tmp_path, "a,b\n" + "1\n" * 1_000)).problems(lambda _: None)) == PROBLEMS_MAX + 1
    )


def test_a_file_that_changed_behind_the_check_stops_at_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n1,2\n")
    file = CsvFile(path)
    assert file.problems(lambda _: None) == []
    with path.open("a") as more:
        more.write("3\n")
    rows = file.rows(lambda _: None)

    assert json.loads(next(rows).value) == {"a": "1", "b": "2"}
    with pytest.raises(UnusableFile, match=r"rows\.csv:3: 1 values, but the header names 2"):
        next(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: its first line has to name the columns"),
        ("a,b,a\n", "several columns are named 'a': rename them"),
        ("a,b\n", "has no column 'case' for the key, but a, b"),
        (b"\xff", "this is no UTF-8"),
    ],
)
def test_a_file_that_can_not_be_imported_says_why(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UnusableFile) as unusable:
        CsvFile(written(tmp_path, text), key="case")
    assert message in str(unusable.value)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([".", "--topic", "t"], 1, "saga: . is no file, and it has to be read twice: save it first"),
        (["nowhere.csv", "--topic", "t"], 1, "saga: nowhere.csv can't be read: No such file or directory"),
        (["rows.csv", "--topic", "saga.steps"], 2, "saga.steps belongs to saga or Kafka"),
        (["rows.csv", "--topic", "t", "--delimiter", "ab"], 2, "'ab' can't stand between values"),
        (["rows.csv", "--topic", "t"], 1, "rows.csv:3: 1 values, but the header names 2 columns"),
        (["rows.csv", "--topic", "t"], 1, "saga: nothing was sent: mend 1 row of rows.csv first"),
        (["rows.csv"], 2, "Missing option '--topic'"),
    ],
)
def test_nothing_is_sent_of_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    written(tmp_path, "a,b\n1,2\n1\n")
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(application(), ["import", *arguments, "--bootstrap-servers", "127.0.0.1:1"])

    assert told.exit_code == code
    assert message in told.stderr
