"""How far a partition has been handled when its keys are handled at different speeds.

A slow handler holds up its own key only, so events behind it finish first. The offset committed to
Kafka is the least unfinished one; the finished ones beyond it travel in the offset's metadata, in
the same transaction, so that whoever continues skips them. (The idea is that of Confluent's
parallel consumer; the encoding is ours.)
"""

import base64
import zlib

SPAN_MAX = 24_000
"""Offsets between the least unfinished one and the newest given out.

A bitmap of so many bits in base64 stays below Kafka's default of 4,096 bytes for the metadata of an
offset (`offset.metadata.max.bytes`), however badly it compresses. Offsets are counted, not records:
transaction markers, compaction and aborted transactions leave gaps of any size between records.
"""

_PREFIX = "done:"
_BITMAP_BYTES_MAX = SPAN_MAX // 8


class Progress:
    """One partition: what was given out, what is finished, what can be committed.

    Parameters
    ----------
    position : the committed offset, which is the first one not known to be finished.
    metadata : what was committed with it.
    """

    def __init__(self, position: int, metadata: str = "") -> None:
        self._position = position
        self._done = _decoded(position, metadata)
        self._restored_end = max(self._done, default=position) + 1
        self._given: dict[int, None] = {}  # insertion order is offset order
        self._next = position
        self._moved = False

    def give(self, offset: int) -> bool:
        """Whether the record at this offset is still to be handled; if so it counts as given out."""
        self._next = max(self._next, offset + 1)
        if offset < self._position or offset in self._done:
            self._moved = True
            return False
        self._given[offset] = None
        return True

    def finish(self, offset: int) -> None:
        """The record at this offset, given out before, is handled: its outcome is to be committed."""
        del self._given[offset]
        self._done.add(offset)
        self._moved = True

    def touch(self) -> None:
        """Something that was published here is done with: commit the position, moved or not."""
        self._moved = True

    def admits(self, offset: int) -> bool:
        """Whether the record at this offset may be given out before the slowest one is finished."""
        return offset - next(iter(self._given), offset) < SPAN_MAX

    def reopened(self, offset: int) -> bool:
        """Whether it is worth reading on at this offset, which was not admitted: there is room behind it."""
        return offset - next(iter(self._given), offset) < SPAN_MAX // 2

    def moved(self) -> bool:
        """Whether `committable` has something new to say since it was last asked."""
        return self._moved

    def committable(self) -> tuple[int, str]:
        """The offset to commit, and its metadata."""
        self._moved = False
        position = next(iter(self._given), self._next)
        if position != self._position:
            self._position = position
            if self._given or position < self._restored_end:
                self._done = {offset for offset in self._done if offset >= position}
            else:
                self._done = set()
        return position, _encoded(position, self._done)


def _encoded(position: int, done: set[int]) -> str:
    if not done:
        return ""
    bits = bytearray((max(done) - position) // 8 + 1)
    for offset in done:
        index = offset - position
        bits[index // 8] |= 1 << index % 8
    packed = zlib.compress(bytes(bits), 1)
    marker, payload = (b"z", packed) if len(packed) < len(bits) else (b"r", bytes(bits))
    return _PREFIX + base64.b64encode(marker + payload).decode()


def _decoded(position: int, metadata: str) -> set[int]:
    # Somebody else's metadata is none of ours: the offset alone counts then.
    if not metadata.startswith(_PREFIX):
        return set()
    try:
        raw = base64.b64decode(metadata[len(_PREFIX) :], validate=True)
        bits = zlib.decompressobj().decompress(raw[1:], _BITMAP_BYTES_MAX) if raw[:1] == b"z" else raw[1:]
    except (ValueError, zlib.error):
        return set()
    return {
        position + byte * 8 + bit for byte, value in enumerate(bits) for bit in range(8) if value >> bit & 1
    }
