"""Quantiles of durations in little memory, that can be merged and taken back.

A histogram whose buckets grow by a constant factor, so that every answer is within 1 % of a true one:
DDSketch (Masson, Rim, Lee: A fast and fully-mergeable quantile sketch with relative-error guarantees, VLDB
2019). All values are whole numbers of milliseconds, so it has some 1,800 buckets at most in 100,000 years.
"""

import math
from collections import Counter

ERROR_MAX = 0.01
_GROWTH = (1 + ERROR_MAX) / (1 - ERROR_MAX)
_LOG_GROWTH = math.log(_GROWTH)


class Quantiles:
    """How long something took, as a histogram. Two with the same values are equal."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantiles) and self._buckets == other._buckets

    @property
    def count(self) -> int:
        return self._buckets.total()

    def add(self, took_ms: int, sign: int = 1) -> None:
        """Count a duration; with the sign -1 take it back."""
        bucket = _bucket(took_ms)
        self._buckets[bucket] += sign
        if not self._buckets[bucket]:
            del self._buckets[bucket]

    def merge(self, other: "Quantiles") -> None:
        """Count all that the other one has counted."""
        self._buckets.update(other._buckets)

    def quantile(self, share: float) -> float:
        """The least duration that so large a share does not exceed, within 1 %; 0 if there is none."""
        rank, passed = max(1, math.ceil(self.count * share)), 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            if passed >= rank:
                return _middle(bucket)
        return 0


def _bucket(took_ms: int) -> int:
    # Clocks may disagree: what took less than no time took none.
    return -1 if took_ms <= 0 else math.ceil(math.log(took_ms) / _LOG_GROWTH)


def _middle(bucket: int) -> float:
    return 0 if bucket < 0 else float(2 * _GROWTH**bucket / (1 + _GROWTH))
