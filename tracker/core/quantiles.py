"""Quantiles of durations in little memory, that can be merged and taken back.

A histogram whose buckets grow by a constant factor, so that every answer is within 1 % of a true one:
DDSketch (Masson, Rim, Lee: A fast and fully-mergeable quantile sketch with relative-error guarantees, VLDB
2019). All values are whole numbers of milliseconds, so it has some 1,800 buckets at most in 100,000 years.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Generic

from tracker.core.bounded import KEYS_MAX, Key

ERROR_MAX = 0.01
_GROWTH = (1 + ERROR_MAX) / (1 - ERROR_MAX)
_LOG_GROWTH = math.log(_GROWTH)


class Quantiles:
    """How long something took, as a histogram. Two with the same values are equal.

    Parameters
    ----------
    buckets : those of another one, which are copied.
    """

    def __init__(self, buckets: Mapping[int, int] | None = None) -> None:
        self._buckets: Counter[int] = Counter(buckets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantiles) and self._buckets == other._buckets

    __hash__ = None  # type: ignore[assignment]  # equal by what may change: no key for a dict

    def __bool__(self) -> bool:
        return bool(self._buckets)

    @property
    def count(self) -> int:
        return self._buckets.total()

    @property
    def buckets(self) -> Mapping[int, int]:
        """How many values fell into which bucket: what is to be stored of it."""
        return self._buckets

    def add(self, took_ms: int, sign: int = 1) -> None:
        """Count a duration; with the sign -1 take it back."""
        bucket = bucket_of(took_ms)
        self._buckets[bucket] += sign
        if not self._buckets[bucket]:
            del self._buckets[bucket]

    def merge(self, other: "Quantiles") -> None:
        """Count all that the other one has counted, or take it back where that has counted below zero."""
        for bucket, count in other._buckets.items():
            self._buckets[bucket] += count
            if not self._buckets[bucket]:
                del self._buckets[bucket]

    def quantile(self, share: float) -> float:
        """The least duration that so large a share does not exceed, within 1 %; 0 if there is none."""
        rank, passed = max(1, math.ceil(self.count * share)), 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            if passed >= rank:
                return _middle(bucket)
        return 0

    def spread(self, edges: Sequence[float]) -> list[int]:
        """How many are below each edge, and not below the one before it; the last are those beyond all."""
        counts = [0] * (len(edges) + 1)
        for bucket, count in self._buckets.items():
            counts[bisect_right(edges, _middle(bucket))] += count
        return counts


class Sketches(Generic[Key]):
    """Quantiles by key, of `keys_max` keys at most; all others are counted together (`bounded`).

    Parameters
    ----------
    kept, other : what another one has counted, as it was stored.
    """

    def __init__(
        self,
        keys_max: int = KEYS_MAX,
        kept: Iterable[tuple[Key, Mapping[int, int]]] = (),
        other: Mapping[int, int] | None = None,
    ) -> None:
        self._keys_max = keys_max
        self._kept: dict[Key, Quantiles] = {key: Quantiles(buckets) for key, buckets in kept}
        self.other = Quantiles(other)
        """All durations of keys that are not kept one by one."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketches) and (self._kept, self.other) == (other._kept, other.other)

    __hash__ = None  # type: ignore[assignment]  # equal by what may change: no key for a dict

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def get(self, key: Key) -> Quantiles:
        """Those of a key; without any values if it is not kept."""
        return self._kept.get(key) or Quantiles()

    def items(self) -> ItemsView[Key, Quantiles]:
        """Each key that is kept, and its durations."""
        return self._kept.items()

    def total(self) -> int:
        """How many durations were counted."""
        return sum(times.count for times in self._kept.values()) + self.other.count

    def add(self, key: Key, took_ms: int, sign: int = 1) -> None:
        """Count a duration; with the sign -1 take it back."""
        times = self._kept.get(key)
        if times is None:
            if self.other or len(self._kept) >= self._keys_max:
                self.other.add(took_ms, sign)
                return
            times = self._kept[key] = Quantiles()
        times.add(took_ms, sign)
        if not times:
            del self._kept[key]

    def merge(self, other: "Sketches[Key]") -> None:
        """Count all that the other one has counted."""
        for key, times in other._kept.items():
            self.merge_one(key, times)
        self.other.merge(other.other)

    def merge_one(self, key: Key, durations: Quantiles) -> None:
        """Count many durations of a key, or take back where they are counted below zero."""
        times = self._kept.get(key)
        if times is None:
            if self.other or len(self._kept) >= self._keys_max:
                self.other.merge(durations)
                return
            times = self._kept[key] = Quantiles()
        times.merge(durations)
        if not times:
            del self._kept[key]


@lru_cache(maxsize=100_000)
def bucket_of(took_ms: int) -> int:
    """The bucket of a duration; -1 for those that took no time."""
    # Clocks may disagree: what took less than no time took none.
    return -1 if took_ms <= 0 else math.ceil(math.log(took_ms) / _LOG_GROWTH)


def _middle(bucket: int) -> float:
    return 0 if bucket < 0 else float(2 * _GROWTH**bucket / (1 + _GROWTH))
