"""Decoded sagas in memory: those that are not on disk yet, and as many others as there is room for."""

from collections import OrderedDict

from tracker.core.saga import Saga

SagasByPartition = dict[int, dict[str, Saga]]


class SagaCache:
    """A saga is dirty, being written, or clean. Only clean ones are ever forgotten."""

    def __init__(self, clean_max: int) -> None:
        self._clean_max = clean_max
        self._dirty: SagasByPartition = {}
        self._writing: SagasByPartition = {}
        self._clean: OrderedDict[str, Saga] = OrderedDict()  # the one used last comes last
        self.dirty_count = 0

    def get(self, partition: int, saga_id: str) -> Saga | None:
        """The saga as it was folded last, None if it is not in memory."""
        for layer in (self._dirty, self._writing):
            found = layer.get(partition, {}).get(saga_id)
            if found is not None:
                return found
        return self._clean.get(saga_id)

    def put_dirty(self, partition: int, saga: Saga) -> None:
        """Keep a saga that has changed until `written` says that it is on disk."""
        dirty = self._dirty.setdefault(partition, {})
        if saga.id not in dirty:
            self.dirty_count += 1
            self._clean.pop(saga.id, None)
        dirty[saga.id] = saga

    def put_clean(self, saga: Saga) -> None:
        """Keep a saga that is on disk as it is here."""
        self._clean[saga.id] = saga
        self._clean.move_to_end(saga.id)
        if len(self._clean) > self._clean_max:
            self._clean.popitem(last=False)

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
            for saga_id in self._dirty.get(partition, {}):
                sagas.pop(saga_id, None)  # changed once more
            self._clean.update(sagas)
        while len(self._clean) > self._clean_max:
            self._clean.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: the partitions belong to others now, or have to be read anew."""
        self._dirty, self._writing = {}, {}
        self._clean.clear()
        self.dirty_count = 0
