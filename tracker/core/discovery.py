"""Discovery: how sagas really went, counted.

A variant is the sequence of event types by time. A run of one type is folded into one: an order with three
parcels goes the same way as one with two. Events of the same millisecond stand after their causes.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from tracker.core.chain import chain
from tracker.core.quantiles import Quantiles
from tracker.core.saga import Saga


class Trace(NamedTuple):
    """How one saga went, and the time from its first event to its last."""

    types: tuple[str, ...]
    took_ms: int


class Variant(NamedTuple):
    """A way that sagas went: how many, their share of all (0 to 1), and how long they took in the middle."""

    types: tuple[str, ...]
    sagas: int
    share: float
    p50_ms: float


def trace(saga: Saga) -> Trace:
    """How a saga went; without types as long as only receipts are known."""
    # Sorting keeps the order of the tree where times are equal.
    seen = [link.step.seen for link in chain(saga) if link.step.seen is not None]
    seen.sort(key=attrgetter("time_ms"))
    types: list[str] = []
    for event in seen:
        if not types or types[-1] != event.type:
            types.append(event.type)
    return Trace(tuple(types), seen[-1].time_ms - seen[0].time_ms if seen else 0)


class Variants:
    """The variants of a flow, kept up to date saga by saga."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, ...], Quantiles] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variants) and self._times == other._times

    @property
    def sagas(self) -> int:
        return sum(times.count for times in self._times.values())

    def add(self, went: Trace) -> None:
        """Count a saga."""
        self._times.setdefault(went.types, Quantiles()).add(went.took_ms)

    def remove(self, went: Trace) -> None:
        """Take back a saga that was counted with this trace."""
        times = self._times[went.types]
        times.add(went.took_ms, -1)
        if not times.count:
            del self._times[went.types]

    def merge(self, other: "Variants") -> None:
        """Count all that the other one has counted."""
        for types, times in other._times.items():
            self._times.setdefault(types, Quantiles()).merge(times)

    def listed(self) -> Iterator[Variant]:
        """Every variant, the most frequent first."""
        total = self.sagas
        for types, times in sorted(self._times.items(), key=lambda item: (-item[1].count, item[0])):
            yield Variant(types, times.count, times.count / total, times.quantile(0.5))
