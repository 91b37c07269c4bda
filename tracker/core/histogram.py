"""How many values fell between which bounds: what Prometheus calls a histogram."""

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    1.5,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1800.0,
    7200.0,
)
"""Bounds for what the tracker does: from a quick commit to two hours of lag."""

BUSINESS_SECONDS = (
    0.1,
    0.5,
    1.0,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    900.0,
    3600.0,
    6 * 3600.0,
    86_400.0,
    7 * 86_400.0,
)
"""Bounds for how long sagas take: from a tenth of a second to a week."""


class Histogram:
    """Values counted by bucket; bucket n holds those up to `bounds[n]`, the last one the rest."""

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value, so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times
