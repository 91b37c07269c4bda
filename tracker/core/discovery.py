"""Discovery: how sagas really went, counted.

Variants and the directly-follows graph are those of process mining, so that its tools find the same: the
types of all events by time, whatever caused them, each repeat counted. Events of the same millisecond stand
after their causes.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

from msgspec import msgpack

from tracker.core.bounded import Counts
from tracker.core.chain import chain
from tracker.core.quantiles import Sketches
from tracker.core.saga import Saga, Seen

TRACE_TYPES_MAX = 200
"""A longer trace is cut, and ends with `CUT`."""

CUT = "…"

VARIANT_ID = "[0-9a-f]{16}"
"""A pattern that ids of variants match as a whole."""


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


def events_in_order(saga: Saga) -> list[tuple[str, Seen]]:
    """Its events by time, with their ids; those of one millisecond after their causes, and else as they lie
    in Kafka."""
    found = [(link.event, link.step.seen) for link in chain(saga) if link.step.seen is not None]
    # Sorting keeps the order of the tree where times are equal.
    found.sort(key=lambda event: event[1].time_ms)
    return found


def in_order(saga: Saga) -> list[Seen]:
    """The same without the ids."""
    return [seen for _, seen in events_in_order(saga)]


def trace(saga: Saga) -> Trace:
    """How a saga went; without types as long as only receipts are known."""
    return trace_of(in_order(saga))


def trace_of(seen: Sequence[Seen]) -> Trace:
    """The same, from its events in order."""
    types = trace_types(tuple(event.type for event in seen))
    return Trace(types, seen[-1].time_ms - seen[0].time_ms if seen else 0)


def trace_types(types: tuple[str, ...]) -> tuple[str, ...]:
    """The types of a trace, from those of all its events in order."""
    return (*types[:TRACE_TYPES_MAX], CUT) if len(types) > TRACE_TYPES_MAX else types


def variant_id(types: tuple[str, ...]) -> str:
    """The id of a variant, by the types of its trace; the same everywhere."""
    # Two of a million variants have the same one in one of some forty million flows.
    return blake2b(msgpack.encode(types), digest_size=8).hexdigest()


class Variants:
    """The variants of a flow, kept up to date saga by saga.

    Where sagas go ever new ways, the first `KEYS_MAX` are told apart, and all others counted as `other`.
    """

    def __init__(self) -> None:
        self.times: Sketches[tuple[str, ...]] = Sketches()
        """By the types of their events how long sagas took."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variants) and self.times == other.times

    __hash__ = None  # type: ignore[assignment]  # equal by what may change: no key for a dict

    @property
    def sagas(self) -> int:
        return self.times.total()

    @property
    def other(self) -> int:
        """Sagas that went a way that is not told apart."""
        return self.times.other.count

    def add(self, went: Trace, sign: int = 1) -> None:
        """Count a saga; with the sign -1 take back one that was counted with this trace."""
        self.times.add(went.types, went.took_ms, sign)

    def merge(self, other: "Variants") -> None:
        """Count all that the other one has counted."""
        self.times.merge(other.times)

    def listed(self) -> Iterator[Variant]:
        """Every variant that is told apart, the most frequent first."""
        total = self.sagas
        for types, times in sorted(self.times.items(), key=lambda item: (-item[1].count, item[0])):
            yield Variant(types, times.count, times.count / total, times.quantile(0.5))


class DirectlyFollows:
    """How often which event type came next in time, with which sagas began, and with which they stopped.

    What is given are all event types of a saga, oldest first.
    """

    def __init__(self) -> None:
        self.pairs: Counts[tuple[str, str]] = Counts()
        self.first: Counts[str] = Counts()
        self.last: Counts[str] = Counts()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DirectlyFollows) and self._counts() == other._counts()

    __hash__ = None  # type: ignore[assignment]  # equal by what may change: no key for a dict

    def add(self, types: Sequence[str], sign: int = 1) -> None:
        """Count a saga; with the sign -1 take back one that was counted with these types."""
        if types:
            self.first.add(types[0], sign)
            self.last.add(types[-1], sign)
            for pair in pairwise(types):
                self.pairs.add(pair, sign)

    def merge(self, other: "DirectlyFollows") -> None:
        """Count all that the other one has counted."""
        self.pairs.merge(other.pairs)
        self.first.merge(other.first)
        self.last.merge(other.last)

    def _counts(self) -> tuple[Counts[tuple[str, str]], Counts[str], Counts[str]]:
        return self.pairs, self.first, self.last
