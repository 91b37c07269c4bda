"""A disk in memory, and rows on it: what RocksDB keeps when a process is killed."""

from collections.abc import Iterable, Sequence

from tracker.store.rocks import RocksRows, Rows


class Disk:
    """Databases by partition: rows, and the changelog offset at which to go on."""

    def __init__(self) -> None:
        self.databases: dict[int, tuple[dict[bytes, bytes], int]] = {}

    def wipe(self) -> None:
        self.databases.clear()


class MemoryRows(RocksRows):
    """Rows on a disk of the simulation."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._open: set[int] = set()

    def open(self, partition: int) -> int:
        self._open.add(partition)
        return self._disk.databases.setdefault(partition, ({}, 0))[1]

    def rebuild(self, partition: int, reason: str) -> None:
        self._disk.databases[partition] = {}, 0

    def close(self, partitions: Iterable[int] | None = None) -> None:
        self._open.difference_update(list(self._open) if partitions is None else partitions)

    def get_many(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        rows = self._rows(partition)
        return [rows.get(key) for key in keys]

    def scan(self, partition: int, after: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
        rows = self._rows(partition)
        return [(key, rows[key]) for key in sorted(rows) if after is None or key > after][:count]

    def write(self, partition: int, rows: Rows, changelog_offset: int) -> None:
        kept = self._rows(partition)
        for key, value in rows.items():
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
        self._disk.databases[partition] = kept, changelog_offset + 1

    def _rows(self, partition: int) -> dict[bytes, bytes]:
        if partition not in self._open:
            raise KeyError(partition)  # as a database that is closed
        return self._disk.databases[partition][0]
