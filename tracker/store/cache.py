"""Decoded sagas in memory: those that are not on disk yet, and as many others as there is room for."""

from collections import OrderedDict
from enum import Enum
from typing import Final, Literal

from tracker.core.saga import Saga


class _Unknown(Enum):
    UNKNOWN = 0


UNKNOWN: Final = _Unknown.UNKNOWN

Found = Saga | None | Literal[_Unknown.UNKNOWN]
"""A saga; None if it has left; `UNKNOWN` where only the disk knows."""

SagasByPartition = dict[int, dict[str, Saga | None]]

_STEPS_OF_ONE = 16


def size(saga: Saga | None) -> int:
    """For how many sagas it counts: one of very many steps takes the room of others."""
    return 1 if saga is None else 1 + len(saga.steps) // _STEPS_OF_ONE


class SagaCache:
    """A saga is dirty, being written, or clean. Only clean ones are ever forgotten.

    One that has left is kept as None until that is on disk. Counts are in sagas of the usual size, see
    `size`.
    """

    def __init__(self, clean_max: int) -> None:
        self._clean_max = clean_max
        self._dirty: SagasByPartition = {}
        self._writing: SagasByPartition = {}
        self._clean: OrderedDict[str, Saga] = OrderedDict()  # the one used last comes last
        self._clean_size = 0
        self.dirty_count = 0

    @property
    def clean_count(self) -> int:
        """How many sagas are kept that are on disk as they are here."""
        return len(self._clean)

    def get(self, partition: int, saga_id: str) -> Found:
        """The saga as it was folded last."""
        for layer in (self._dirty, self._writing):
            found = layer.get(partition, _NOTHING).get(saga_id, UNKNOWN)
            if found is not UNKNOWN:
                return found
        return self._clean.get(saga_id, UNKNOWN)

    def put_dirty(self, partition: int, saga_id: str, saga: Saga | None) -> None:
        """Keep a saga that has changed until `written` says that it is on disk; None: it has left."""
        dirty = self._dirty.setdefault(partition, {})
        if saga_id not in dirty:
            self.dirty_count += size(saga)
            self._drop_clean(saga_id)
        dirty[saga_id] = saga

    def put_clean(self, saga: Saga) -> None:
        """Keep a saga that is on disk as it is here."""
        self._drop_clean(saga.id)
        self._clean[saga.id] = saga
        self._clean_size += size(saga)
        self._shrink()

    def take_dirty(self) -> SagasByPartition:
        """All dirty sagas, to be written. What is folded from now on is dirty anew."""
        assert not self._writing, "one commit at a time"
        self._writing, self._dirty = self._dirty, {}
        self.dirty_count = 0
        return self._writing

    def written(self) -> None:
        """What `take_dirty` gave is on disk."""
        writing, self._writing = self._writing, {}
        for partition, sagas in writing.items():
            dirty = self._dirty.get(partition, _NOTHING)
            for saga_id, saga in sagas.items():
                if saga is not None and saga_id not in dirty:  # else changed once more
                    self._clean[saga_id] = saga
                    self._clean_size += size(saga)
        self._shrink()

    def clear(self) -> None:
        """Forget everything: the partitions belong to others now, or have to be read anew."""
        self._dirty, self._writing = {}, {}
        self._clean.clear()
        self._clean_size = 0
        self.dirty_count = 0

    def _drop_clean(self, saga_id: str) -> None:
        saga = self._clean.pop(saga_id, None)
        if saga is not None:
            self._clean_size -= size(saga)

    def _shrink(self) -> None:
        while self._clean_size > self._clean_max and self._clean:
            _, saga = self._clean.popitem(last=False)
            self._clean_size -= size(saga)


_NOTHING: dict[str, Saga | None] = {}
