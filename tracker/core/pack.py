"""Facts into frames: by partition of `saga.steps`, never too many and never too large."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from tracker.core.collect import SagaFacts
from tracker.core.frame import Fact, Read, Watermark, encode_frame, saga_partition


class FrameLimits(Struct, frozen=True):
    """How large a frame may become: facts, and bytes of its encoding."""

    steps: int
    bytes: int


class Packed(Struct, frozen=True):
    """The frames of one partition, in order, and the facts too large for any frame."""

    frames: list[bytes]
    refused: list[Fact]


def by_partition(facts: SagaFacts, partitions: int) -> dict[int, SagaFacts]:
    """The same facts, by partition of `saga.steps`."""
    found: dict[int, SagaFacts] = {}
    for saga, its_facts in facts.items():
        found.setdefault(saga_partition(saga, partitions), {})[saga] = its_facts
    return found


def pack(
    facts: SagaFacts, watermarks: list[Watermark], limits: FrameLimits, read: Sequence[Read] = ()
) -> Packed:
    """The frames for one partition; without facts it is one that carries the watermarks alone.

    The watermarks, and what was read, are in the last frame only: they hold for whoever has read all of
    them. A fact that cannot be encoded, or fills a frame by itself, is refused and does not hold up the
    others.
    """
    packed = Packed([], [])
    chunks = list(_chunks(facts, limits.steps)) or [[]]
    for chunk in chunks[:-1]:
        _encode(chunk, _NOTHING, limits, packed)
    _encode(chunks[-1], _Tail(watermarks, read), limits, packed)
    return packed


class _Tail(NamedTuple):
    """What the last frame carries besides facts."""

    watermarks: list[Watermark]
    read: Sequence[Read] = ()


_NOTHING = _Tail([])


Chunk = list[tuple[str, list[Fact]]]


def _chunks(facts: SagaFacts, steps_max: int) -> Iterator[Chunk]:
    chunk: Chunk = []
    room = steps_max
    for saga, its_facts in facts.items():
        if len(its_facts) < room:
            chunk.append((saga, its_facts))
            room -= len(its_facts)
            continue
        rest = its_facts
        while rest:
            chunk.append((saga, rest[:room]))
            rest, room = rest[room:], room - len(rest)
            if room <= 0:
                yield chunk
                chunk, room = [], steps_max
    if chunk:
        yield chunk


def _encode(chunk: Chunk, tail: _Tail, limits: FrameLimits, packed: Packed) -> None:
    frame = _encoded(chunk, tail)
    if frame is not None and (len(frame) <= limits.bytes or not chunk):
        packed.frames.append(frame)
        return
    first, second = _halves(chunk)
    if second:
        _encode(first, _NOTHING, limits, packed)
        _encode(second, tail, limits, packed)
    else:
        packed.refused.append(first[0][1][0])
        _encode([], tail, limits, packed)


def _encoded(chunk: Chunk, tail: _Tail) -> bytes | None:
    try:
        return encode_frame(dict(chunk), *tail)
    except (OverflowError, UnicodeEncodeError):
        return None  # a number or a text that MessagePack does not know, from a foreign service


def _halves(chunk: Chunk) -> tuple[Chunk, Chunk]:
    """Two halves of the chunk; the second is empty if there is only one fact."""
    if len(chunk) > 1:
        middle = len(chunk) // 2
        return chunk[:middle], chunk[middle:]
    saga, facts = chunk[0]
    middle = max(1, len(facts) // 2)
    return [(saga, facts[:middle])], [(saga, facts[middle:])] if facts[middle:] else []
