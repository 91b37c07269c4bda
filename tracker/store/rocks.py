"""The lowest layer: rows of bytes in RocksDB, a database for each partition."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from rocksdict import WriteBatch

OFFSET_KEY = b"__faust\0offset__"
"""Where Faust's recovery looks how much of the changelog a database holds (faust.stores.rocksdb)."""


class RocksRows:
    """Rows by partition and key. Nothing here waits: RocksDB writes to memory and its log.

    `database` gives the open database of a partition. It is asked each time and never kept, since
    Faust closes a database by forgetting it.
    """

    def __init__(self, database: Callable[[int], Any]) -> None:
        self._database = database

    def get_many(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of these keys, None for those that are missing, in the order of the keys."""
        found: list[bytes | None] = self._database(partition).get(list(keys))
        return found

    def scan(self, partition: int, after: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
        """So many rows, by their keys, from the first one on or behind the key `after`.

        Fewer are the last ones. No iterator is kept: one that is open keeps the database open.
        """
        database = self._database(partition)
        items = database.items() if after is None else database.items(from_key=after + b"\0")
        return list(islice(items, count))

    def write(self, partition: int, rows: Mapping[bytes, bytes], changelog_offset: int) -> None:
        """Write the rows and the offset of the last changelog record they are in, all or nothing."""
        batch = WriteBatch(raw_mode=True)
        for key, value in rows.items():
            batch.put(key, value)
        batch.put(OFFSET_KEY, str(changelog_offset).encode())
        self._database(partition).write(batch)
