"""The lowest layer: rows of bytes in RocksDB, a database for each partition. The door to RocksDB.

A database is a copy of its partition of the changelog, up to an offset that stands in the database
itself. So it can always be thrown away: one that is damaged, of another cluster, or too old to go on
from, is set aside, and a new one is filled from the changelog.
"""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from msgspec import DecodeError, Struct, msgpack
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteBufferManager

from saga.core.errors import SagaError

logger = logging.getLogger(__name__)

Rows = Mapping[bytes, bytes | None]
"""Rows by their keys; None where a row is removed."""

STORE_ROW = b"__saga\0store__"
"""The key of what a database says of itself. No saga can have this id."""

FRESH_MS = 12 * 3_600_000
"""A database that was written no longer ago can go on. Kafka keeps tombstones for `delete.retention.ms`, a
day by default: an older copy may hold rows whose removal is not told any more."""

_STORE_VERSION = 1
_DAMAGED = "DAMAGED"
_ASIDE = ".aside"

_MEMTABLE_BYTES = 16 * 1024 * 1024
_MEMTABLES_BYTES = 128 * 1024 * 1024
_CACHE_BYTES = 128 * 1024 * 1024
_BLOOM_BITS = 10
_OPEN_FILES_MAX = 256


class StoreDamaged(SagaError):
    """The files of a database are damaged. It is rebuilt from the changelog when it is opened again."""


class _Store(Struct, frozen=True, array_like=True, gc=False):
    """What a database says of itself: whose rows it has, up to which offset, and when it was written."""

    version: int
    table: str
    next_offset: int
    written_ms: int


_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(_Store).decode


class RocksRows:
    """Rows by partition and key. Nothing here waits: RocksDB writes to memory and its log.

    Parameters
    ----------
    folder : one folder `sagas-N.db` a partition is made in it.
    table : names the table and its cluster; a database of another one is never read.
    """

    def __init__(self, folder: Path, table: str) -> None:
        self._folder = folder
        self._table = table
        self._databases: dict[int, Rdict] = {}
        # Shared: what a process may take must not depend on how many partitions it has.
        self._cache = Cache(_CACHE_BYTES)
        self._memory = WriteBufferManager(_MEMTABLES_BYTES, False)

    def open(self, partition: int) -> int:
        """Open the database of a partition if it is not; the changelog offset it goes on at, 0 for a new one.

        Raises
        ------
        StoreDamaged
            Not even a new one can be made: the message names the reason.
        """
        if partition not in self._databases:
            path = self._path(partition)
            try:
                self._databases[partition] = self._usable(path)
            except _Unusable as reason:
                logger.warning("%s is set aside and rebuilt from the changelog: %s", path, reason)
                self._databases[partition] = self._new(path)
        store = self._store(self._databases[partition])
        return 0 if store is None else store.next_offset

    def rebuild(self, partition: int, reason: str) -> None:
        """Set the open database of a partition aside, and begin a new one."""
        path = self._path(partition)
        logger.warning("%s is set aside and rebuilt from the changelog: %s", path, reason)
        self._databases.pop(partition).close()
        self._databases[partition] = self._new(path)

    def close(self, partitions: Iterable[int] | None = None) -> None:
        """Close the databases of these partitions, or all."""
        for partition in list(self._databases if partitions is None else partitions):
            database = self._databases.pop(partition, None)
            if database is not None:
                database.close()

    def get_many(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of these keys, None for those that are missing, in the order of the keys.

        Raises
        ------
        StoreDamaged
            They can't be read.
        """
        with self._guarded(partition):
            found: list[bytes | None] = self._databases[partition].get(list(keys))
        return found

    def scan(self, partition: int, after: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
        """So many rows at most, by their keys, from the first one on or behind the key `after`.

        None: there are no more. No iterator is kept: one that is open keeps the database open.

        Raises
        ------
        StoreDamaged
            They can't be read.
        """
        database = self._databases[partition]
        with self._guarded(partition):
            items = database.items() if after is None else database.items(from_key=after + b"\0")
            found = list(islice(items, count))
            if len(found) < count:
                # Python's way to iterate ends at a damaged block as at the last row: ask which it was.
                _ensure_end(database, found[-1][0] if found else after)
        return [row for row in found if row[0] != STORE_ROW]

    def write(self, partition: int, rows: Rows, changelog_offset: int) -> None:
        """Write the rows, None removes one, and the offset of the last changelog record they are in.

        All or nothing.
        """
        batch = WriteBatch(raw_mode=True)
        for key, value in rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        now_ms = int(time.time() * 1000)
        batch.put(STORE_ROW, _encode(_Store(_STORE_VERSION, self._table, changelog_offset + 1, now_ms)))
        with self._guarded(partition):
            self._databases[partition].write(batch)

    def _path(self, partition: int) -> Path:
        return self._folder / f"sagas-{partition}.db"

    def _usable(self, path: Path) -> Rdict:
        """The database at a path, a new one where there is none."""
        if (path / _DAMAGED).exists():
            raise _Unusable("its files are damaged")
        try:
            database = self._opened(path)
        except Exception as error:  # RocksDB's errors have no class of their own
            raise _Unusable(str(error)) from error
        try:
            store = self._store(database)
            if store is None:
                if next(iter(database.keys()), None) is not None:
                    raise _Unusable("it does not say whose rows it holds")
            elif store.table != self._table:
                raise _Unusable(f"it belongs to {store.table}, and this is {self._table}")
            elif store.written_ms < time.time() * 1000 - FRESH_MS:
                raise _Unusable(f"it was written more than {FRESH_MS // 3_600_000} hours ago")
        except BaseException:
            database.close()
            raise
        return database

    def _new(self, path: Path) -> Rdict:
        aside = path.with_name(path.name + _ASIDE)
        try:
            _remove(aside)
            path.rename(aside)
            return self._opened(path)
        except Exception as error:
            raise StoreDamaged(
                f"no database can be made at {path}: {error}. Look after the disk and the folder's rights"
            ) from error

    def _opened(self, path: Path) -> Rdict:
        self._folder.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(_MEMTABLE_BYTES)
        options.set_write_buffer_manager(self._memory)
        options.set_max_open_files(_OPEN_FILES_MAX)
        options.set_keep_log_file_num(2)
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
        blocks.set_bloom_filter(_BLOOM_BITS, False)
        options.set_block_based_table_factory(blocks)
        return Rdict(str(path), options)

    def _store(self, database: Rdict) -> _Store | None:
        try:
            row = database.get(STORE_ROW)
            store = None if row is None else _decode(row)
        except (DecodeError, UnicodeDecodeError) as error:
            raise _Unusable(f"what it says of itself can't be read: {error}") from error
        except Exception as error:
            raise _Unusable(str(error)) from error
        if store is not None and store.version != _STORE_VERSION:
            raise _Unusable(f"it has format version {store.version}, and this tracker reads {_STORE_VERSION}")
        return store

    @contextlib.contextmanager
    def _guarded(self, partition: int) -> Iterator[None]:
        """Remember damage, so that the database is not used again."""
        try:
            yield
        except Exception as error:
            if not str(error).startswith("Corruption"):
                raise
            path = self._path(partition)
            (path / _DAMAGED).touch()
            raise StoreDamaged(
                f"{path} is damaged, and will be rebuilt from the changelog: {error}"
            ) from error


class _Unusable(Exception):
    """Why a database can't be gone on with."""


def _ensure_end(database: Rdict, last: bytes | None) -> None:
    """Raise if there are rows behind the last one, or a damaged block."""
    behind = database.iter()
    if last is None:
        behind.seek_to_first()
    else:
        behind.seek(last + b"\0")
    if behind.valid():
        raise OSError(f"Corruption: rows behind {last!r} were not read")
    behind.status()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
