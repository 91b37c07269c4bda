"""The databases of the saga table: what is damaged, foreign or too old is never gone on with."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from tracker.store.rocks import FRESH_MS, RocksRows, StoreDamaged

TABLE = "sagas of cluster a"
ROWS = 20_000


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., RocksRows]]:
    """Makes the rows of a new process on the same folder."""
    running: list[RocksRows] = []

    def opened(table: str = TABLE) -> RocksRows:
        for rows in running:
            rows.close()
        running.append(RocksRows(tmp_path, table))
        return running[-1]

    yield opened
    opened()


def _key(number: int) -> bytes:
    return b"s-%06d" % number


def _filled(rows: RocksRows) -> None:
    rows.open(0)
    rows.write(0, {_key(number): bytes([number % 256]) * 200 for number in range(ROWS)}, 99)


def _files(tmp_path: Path, pattern: str) -> list[Path]:
    return sorted((tmp_path / "sagas-0.db").glob(pattern))


def _flushed(tmp_path: Path) -> None:
    database = Rdict(str(tmp_path / "sagas-0.db"), Options(raw_mode=True))
    database.flush()
    database.close()


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = b"\0" * 100
    path.write_bytes(content)


def test_a_new_database_begins_at_the_first_offset(opened: Callable[..., RocksRows]) -> None:
    assert opened().open(0) == 0


def test_a_database_goes_on_where_it_was_written_last(opened: Callable[..., RocksRows]) -> None:
    _filled(opened())
    rows = opened()
    assert rows.open(0) == 100
    assert rows.get_many(0, [_key(7), b"none"]) == [b"\x07" * 200, None]


def test_what_is_not_written_to_has_no_place_yet(opened: Callable[..., RocksRows]) -> None:
    opened().open(0)
    assert opened().open(0) == 0


def test_a_database_of_another_cluster_is_set_aside(opened: Callable[..., RocksRows], tmp_path: Path) -> None:
    _filled(opened())
    rows = opened("sagas of cluster b")
    assert rows.open(0) == 0
    assert rows.scan(0, None, 10) == []
    assert (tmp_path / "sagas-0.db.aside").is_dir()


def test_a_database_too_old_for_the_tombstones_is_set_aside(
    opened: Callable[..., RocksRows], monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(opened())
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + FRESH_MS / 1000 - 60)
    assert opened().open(0) == 100
    monkeypatch.setattr(time, "time", lambda: now + FRESH_MS / 1000 + 60)
    assert opened().open(0) == 0


def test_a_foreign_database_is_set_aside(opened: Callable[..., RocksRows], tmp_path: Path) -> None:
    database = Rdict(str(tmp_path / "sagas-0.db"), Options(raw_mode=True))
    database[b"somebody"] = b"else"
    database.close()
    rows = opened()
    assert rows.open(0) == 0
    assert rows.get_many(0, [b"somebody"]) == [None]


@pytest.mark.parametrize("what", ["a file", "a manifest", "no manifest", "no tables"])
def test_a_folder_that_is_no_database_is_set_aside(
    opened: Callable[..., RocksRows], tmp_path: Path, what: str
) -> None:
    path = tmp_path / "sagas-0.db"
    if what == "a file":
        path.write_text("not a folder")
    else:
        _filled(opened())
        opened().close()
        if what == "a manifest":
            _damage(_files(tmp_path, "MANIFEST-*")[-1])
        elif what == "no manifest":
            for manifest in _files(tmp_path, "MANIFEST-*"):
                manifest.unlink()
        else:
            _flushed(tmp_path)
            for table in _files(tmp_path, "*.sst"):
                table.unlink()
    rows = opened()
    assert rows.open(0) == 0
    rows.write(0, {b"s-1": b"one"}, 3)
    assert opened().open(0) == 4


def test_damage_is_found_when_it_is_read_and_mended_by_a_new_start(
    opened: Callable[..., RocksRows], tmp_path: Path
) -> None:
    _filled(opened())
    opened().close()
    _flushed(tmp_path)
    _damage(max(_files(tmp_path, "*.sst"), key=lambda path: path.stat().st_size))

    rows = opened()
    assert rows.open(0) == 100, "nothing has been read of it yet"
    with pytest.raises(StoreDamaged, match="will be rebuilt"):
        rows.get_many(0, [_key(number) for number in range(ROWS)])
    assert opened().open(0) == 0


def test_a_scan_does_not_end_quietly_at_a_damaged_block(
    opened: Callable[..., RocksRows], tmp_path: Path
) -> None:
    _filled(opened())
    opened().close()
    _flushed(tmp_path)
    _damage(max(_files(tmp_path, "*.sst"), key=lambda path: path.stat().st_size))

    rows = opened()
    rows.open(0)
    with pytest.raises(StoreDamaged):
        _scanned(rows)
    assert opened().open(0) == 0


def test_a_scan_gives_every_row_once_and_nothing_else(opened: Callable[..., RocksRows]) -> None:
    rows = opened()
    _filled(rows)
    assert _scanned(rows) == [_key(number) for number in range(ROWS)]


def _scanned(rows: RocksRows) -> list[bytes]:
    found: list[bytes] = []
    while part := rows.scan(0, found[-1] if found else None, 3_000):
        found += [key for key, _ in part]
    return found


def test_of_what_was_set_aside_the_last_is_kept(opened: Callable[..., RocksRows], tmp_path: Path) -> None:
    for cluster in ("b", "c", "d"):
        _filled(opened(cluster))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sagas-0.db", "sagas-0.db.aside"]


def test_a_folder_without_rights_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(StoreDamaged, match=r"sagas-0\.db"):
        RocksRows(tmp_path / "state", TABLE).open(0)
