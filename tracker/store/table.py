"""The saga table: sagas on top, rows of bytes below."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from tracker.core.errors import UnreadableSaga
from tracker.core.fold import fold
from tracker.core.frame import Fact
from tracker.core.saga import Saga, decode_saga, encode_saga
from tracker.store.cache import SagaCache
from tracker.store.rocks import OFFSET_KEY, RocksRows

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable"
TOO_LARGE = "too-large"

_RESERVED = OFFSET_KEY.decode()
"""No saga can have this id: its row would overwrite the offset of the database."""


class SagaTable:
    """Sagas by partition, written behind: changes stay in memory until a commit takes them.

    `trouble` counts what could not be read or written, by reason.
    """

    def __init__(self, rows: RocksRows, cache: SagaCache, saga_bytes_max: int) -> None:
        self._rows = rows
        self._cache = cache
        self._saga_bytes_max = saga_bytes_max
        self.trouble: Counter[str] = Counter()

    @property
    def dirty_count(self) -> int:
        """How many sagas changed since `take`."""
        return self._cache.dirty_count

    def fold(self, partition: int, facts: Mapping[str, Sequence[Fact]]) -> None:
        """Fold the facts of one frame into its sagas. Never waits, and so is never interrupted."""
        sagas = self._sagas(partition, facts)
        for saga_id, its_facts in facts.items():
            before = sagas[saga_id]
            after = fold(before, saga_id, its_facts)
            if after is not before and saga_id != _RESERVED:
                self._cache.put_dirty(partition, after)

    def take(self) -> dict[int, dict[bytes, bytes]]:
        """The rows that changed, by partition. `written` must follow before it is called again."""
        return {
            partition: {
                saga.id.encode(): row for saga in sagas.values() if (row := self._encoded(saga)) is not None
            }
            for partition, sagas in self._cache.take_dirty().items()
        }

    def written(self) -> None:
        """What `take` gave is on disk."""
        self._cache.written()

    def forget(self) -> None:
        """Forget what is in memory, written or not: the partitions are about to change hands."""
        self._cache.clear()

    def _sagas(self, partition: int, facts: Mapping[str, Sequence[Fact]]) -> dict[str, Saga | None]:
        get = self._cache.get
        sagas = {saga_id: get(partition, saga_id) for saga_id in facts}
        missing = [saga_id for saga_id, saga in sagas.items() if saga is None]
        if missing:
            values = self._rows.get_many(partition, [saga_id.encode() for saga_id in missing])
            for saga_id, value in zip(missing, values, strict=True):
                if value is not None:
                    sagas[saga_id] = self._decoded(saga_id, value)
        return sagas

    def _decoded(self, saga_id: str, value: bytes) -> Saga | None:
        try:
            saga = decode_saga(value)
        except UnreadableSaga as error:
            # A saga with a gap is better than a tracker that stands still, or dies at every start.
            self.trouble[UNREADABLE] += 1
            logger.error("saga %s begins anew, its row can't be read: %s", saga_id, error)  # noqa: TRY400
            return None
        self._cache.put_clean(saga)
        return saga

    def _encoded(self, saga: Saga) -> bytes | None:
        row = encode_saga(saga)
        if len(row) <= self._saga_bytes_max:
            return row
        self.trouble[TOO_LARGE] += 1
        logger.error(
            "saga %s has %d bytes and is not written. Raise SAGA_SAGA_BYTES, and max.message.bytes of the "
            "changelog topic with it, or find out who adds to it without end",
            saga.id,
            len(row),
        )
        return None
