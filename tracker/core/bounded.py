"""Counts by key that stay small, whatever keys come.

The first `keys_max` keys are counted one by one, all others together as `other`. What is counted there
can be taken back all the same: a key never begins to be counted one by one as long as others are not.
Only what was merged may have counted one key in both ways: take back before you merge.
"""

from collections import Counter
from collections.abc import ItemsView, Iterable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")

KEYS_MAX = 10_000


class Counts(Generic[Key]):
    """How often each key was counted. Two that counted the same are equal as long as nothing is `other`.

    Parameters
    ----------
    kept, other : what another one has counted, as it was stored.
    """

    def __init__(
        self, keys_max: int = KEYS_MAX, kept: Iterable[tuple[Key, int]] = (), other: int = 0
    ) -> None:
        self._keys_max = keys_max
        self._kept: Counter[Key] = Counter(dict(kept))
        self.other = other
        """How often keys were counted that are not kept one by one."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and (self._kept, self.other) == (other._kept, other.other)

    __hash__ = None  # type: ignore[assignment]  # equal by what may change: no key for a dict

    def __iter__(self) -> Iterator[Key]:
        return iter(self._kept)

    def __getitem__(self, key: Key) -> int:
        return self._kept[key]

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def items(self) -> ItemsView[Key, int]:
        """Each key that is kept, and how often it was counted."""
        return self._kept.items()

    def total(self) -> int:
        """How often anything was counted."""
        return self._kept.total() + self.other

    def add(self, key: Key, times: int = 1) -> None:
        """Count a key; below zero take it back so often."""
        if key in self._kept or (not self.other and len(self._kept) < self._keys_max):
            self._kept[key] += times
            if not self._kept[key]:
                del self._kept[key]
        else:
            self.other += times

    def merge(self, other: "Counts[Key]") -> None:
        """Count all that the other one has counted."""
        for key, times in other._kept.items():
            self.add(key, times)
        self.other += other.other
