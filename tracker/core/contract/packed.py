"""Traffic and durations as bytes, MessagePack: what has been counted is kept, and merged later."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct, msgpack

from tracker.core.bounded import KEYS_MAX, Counts
from tracker.core.contract.expected import Edge
from tracker.core.contract.traffic import At, Traffic
from tracker.core.quantiles import Quantiles, Sketches
from tracker.core.status import Status

_Names = tuple[str, ...]
_Buckets = dict[int, int]


class _Sketches(Struct, array_like=True, gc=False):
    kept: list[tuple[_Names, _Buckets]]
    other: _Buckets


class _Counts(Struct, array_like=True, gc=False):
    kept: list[tuple[_Names, int]]
    other: int


class _Packed(Struct, array_like=True, gc=False):
    """The fields of `Traffic`, each key as its names."""

    sagas: int
    events: _Sketches
    reached: _Counts
    edges: _Sketches
    begun: _Counts
    handled_us: _Sketches
    failed: _Counts
    ignored: _Counts
    dead_lettered: _Counts
    answers: _Sketches
    standing: _Counts
    pairs: _Counts
    first: _Counts
    last: _Counts
    variants: _Sketches


_traffic = msgpack.Decoder(_Packed)
_durations = msgpack.Decoder(_Buckets)


def encode_durations(durations: Quantiles) -> bytes:
    """A sketch of durations as bytes."""
    return msgpack.encode(durations.buckets)


def decode_durations(value: bytes) -> Quantiles:
    """A sketch of durations from its bytes."""
    return Quantiles(_durations.decode(value))


def encode_traffic(traffic: Traffic) -> bytes:
    """Traffic as bytes."""
    return msgpack.encode(
        _Packed(
            traffic.sagas,
            _sketches(traffic.events, _name),
            _counts(traffic.reached, _name),
            _sketches(traffic.edges, _edge),
            _counts(traffic.begun, tuple),
            _sketches(traffic.handled_us, _at),
            _counts(traffic.failed, _at),
            _counts(traffic.ignored, _at),
            _counts(traffic.dead_lettered, _at),
            _sketches(traffic.answers, _at),
            _counts(traffic.standing, tuple),
            _counts(traffic.follows.pairs, tuple),
            _counts(traffic.follows.first, _name),
            _counts(traffic.follows.last, _name),
            _sketches(traffic.variants.times, tuple),
        )
    )


def decode_traffic(value: bytes) -> Traffic:
    """Traffic from its bytes."""
    packed = _traffic.decode(value)
    traffic = Traffic()
    traffic.sagas = packed.sagas
    traffic.events = _sketches_of(packed.events, _only)
    traffic.reached = _counts_of(packed.reached, _only)
    traffic.edges = _sketches_of(packed.edges, lambda names: Edge(*names))
    traffic.begun = _counts_of(packed.begun, _pair)
    traffic.handled_us = _sketches_of(packed.handled_us, lambda names: At(*names))
    traffic.failed = _counts_of(packed.failed, lambda names: At(*names))
    traffic.ignored = _counts_of(packed.ignored, lambda names: At(*names))
    traffic.dead_lettered = _counts_of(packed.dead_lettered, lambda names: At(*names))
    traffic.answers = _sketches_of(packed.answers, lambda names: At(*names))
    traffic.standing = _counts_of(packed.standing, lambda names: (names[0], Status(names[1])))
    traffic.follows.pairs = _counts_of(packed.pairs, _pair)
    traffic.follows.first = _counts_of(packed.first, _only)
    traffic.follows.last = _counts_of(packed.last, _only)
    traffic.variants.times = _sketches_of(packed.variants, _names)
    return traffic


def _sketches(sketches: Sketches[Any], names: Callable[[Any], Iterable[str]]) -> _Sketches:
    kept = [(tuple(names(key)), dict(times.buckets)) for key, times in sketches.items()]
    return _Sketches(kept, dict(sketches.other.buckets))


def _counts(counts: Counts[Any], names: Callable[[Any], Iterable[str]]) -> _Counts:
    return _Counts([(tuple(names(key)), count) for key, count in counts.items()], counts.other)


def _sketches_of(packed: _Sketches, key: Callable[[_Names], Any]) -> Sketches[Any]:
    return Sketches(KEYS_MAX, ((key(names), buckets) for names, buckets in packed.kept), packed.other)


def _counts_of(packed: _Counts, key: Callable[[_Names], Any]) -> Counts[Any]:
    return Counts(KEYS_MAX, ((key(names), count) for names, count in packed.kept), packed.other)


def _name(name: str) -> _Names:
    return (name,)


def _edge(edge: Edge) -> _Names:
    return edge.cause, edge.service, edge.effect


def _at(at: At) -> _Names:
    return at.type, at.service


def _only(names: _Names) -> str:
    return names[0]


def _pair(names: _Names) -> tuple[str, str]:
    return names[0], names[1]


def _names(names: _Names) -> _Names:
    return names
