"""Frames: many facts in one Kafka record, and how far in time their sources have been read.

A frame belongs to one partition of `saga.steps`. Facts are grouped by saga, so that the tracker
decodes, folds and encodes each saga once a frame. MessagePack, fields in order, no names.
"""

import zlib
from collections.abc import Mapping, Sequence

from msgspec import DecodeError, Struct, msgpack

from saga.core.receipt import RECEIPTS_TOPIC, Failure, Outcome
from tracker.core.command import COMMANDS_TOPIC, Action

STEPS_TOPIC = "saga.steps"
FRAME_VERSION = 4
"""2 added payloads, commands and child sagas at the ends of what was there, 3 joins, 4 what is said of paused
sagas: all are read."""

UNREAD_MS = -1
"""In the place of a watermark: the source partition exists, but the sender does not read it."""

HELD_MS = 0
"""The same: the sender reads it and knows nothing, since an open transaction stands where it is to begin."""


class EventSeen(Struct, frozen=True, array_like=True, gc=False, tag_field="fact", tag=0):
    """An event stands on a business topic.

    (topic, partition, offset) tells a frame sent twice from an event published twice.
    `time_ms` is the event's own time, milliseconds since the Unix epoch. `data` is its payload, a
    JSON object; None where no flow needs it, or it is none, or too large. `parent` is the saga of its
    cause, where the event begins another one. `recorded_ms` is the timestamp of its record where that is
    a day or more after `time_ms`, as it is where history is imported; else -1.
    """

    id: str
    type: str
    source: str
    topic: str
    partition: int
    offset: int
    time_ms: int
    cause: str | None
    key: str | None
    version: int
    data: bytes | None = None
    parent: str | None = None
    recorded_ms: int = -1

    @property
    def told_ms(self) -> int:
        """When it was published, as far as that is known."""
        return max(self.time_ms, self.recorded_ms)


class ReceiptSeen(Struct, frozen=True, array_like=True, gc=False, tag_field="fact", tag=1):
    """A handler of a service did something with an event."""

    event: str
    service: str
    instance: str
    handler: str
    outcome: Outcome
    at_ms: int
    duration_ms: float
    attempt: int
    failure: Failure | None
    retry_at_ms: int | None

    @property
    def told_ms(self) -> int:
        return self.at_ms


class ChildBegun(Struct, frozen=True, array_like=True, gc=False, tag_field="fact", tag=3):
    """An event of the saga led to the first event of another one, which is of this `type`.

    `event` is the id of the cause, "" where it was not told.
    """

    child: str
    type: str
    event: str
    at_ms: int

    @property
    def told_ms(self) -> int:
        return self.at_ms


class CommandSeen(Struct, frozen=True, array_like=True, gc=False, tag_field="fact", tag=2):
    """An operator wants something of the saga; the fields are those of `tracker.core.command.Command`.

    It is no fact about the business: no saga begins with it.
    """

    id: str
    action: Action
    by: str
    reason: str
    at_ms: int
    event: str
    undo: bool


class Joined(Struct, frozen=True, array_like=True, gc=False, tag_field="fact", tag=4):
    """A record names this saga by one of its keys, and by an earlier one `saga`: this one belongs to that.

    `rank` is the number of the earlier key among those of the rule, counted from 0, and `told_ms` when the
    record was published.
    """

    saga: str
    rank: int
    told_ms: int


class HandedOn(Struct, frozen=True, array_like=True, gc=False, tag_field="fact", tag=5):
    """What stands beside it was told to the first of these sagas; each of them belongs to the next."""

    path: tuple[str, ...]


Observation = EventSeen | ReceiptSeen | ChildBegun
"""What happened in the business."""

Fact = Observation | CommandSeen | Joined | HandedOn


def topic_of(fact: Fact) -> str:
    """Where the record stands that a fact was read off."""
    match fact:
        case EventSeen():
            return fact.topic
        case CommandSeen():
            return COMMANDS_TOPIC
        case ChildBegun() | Joined() | HandedOn():
            return STEPS_TOPIC  # its event is a fact of its own, which says where it stands
        case _:
            return RECEIPTS_TOPIC


class Watermark(Struct, frozen=True, array_like=True, gc=False):
    """Everything on this source partition up to `at_ms` has been read (DESIGN, section 5).

    `UNREAD_MS`: by somebody else, or by nobody as yet. So time waits for whoever does read it, but not for
    ever; for one with `HELD_MS` it does.
    """

    topic: str
    partition: int
    at_ms: int


Read = tuple[int, int]
"""When records were written, milliseconds since the epoch, and how many."""


class Frame(Struct, frozen=True, array_like=True, gc=False):
    """One record on `saga.steps`.

    `read` is there for measuring, in one frame of each poll: the records of the poll. A tracker that
    does not know it skips it.
    """

    version: int
    watermarks: list[Watermark]
    sagas: dict[str, list[Fact]]
    read: list[Read] = []


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(Frame)


def encode_frame(
    sagas: Mapping[str, list[Fact]], watermarks: list[Watermark], read: Sequence[Read] = ()
) -> bytes:
    """A frame as the value of a Kafka record."""
    return _encoder.encode(Frame(FRAME_VERSION, watermarks, dict(sagas), list(read)))


def decode_frame(value: bytes) -> Frame:
    """A frame from the value of a Kafka record.

    Raises
    ------
    msgspec.DecodeError
        The bytes are no frame, or one of a version that this tracker does not know.
    """
    frame = _decoder.decode(value)
    if not 1 <= frame.version <= FRAME_VERSION:
        raise DecodeError(f"a frame of version {frame.version}, but this tracker reads up to {FRAME_VERSION}")
    return frame


def saga_partition(saga: str, partitions: int) -> int:
    """The partition of `saga.steps` and of the saga table that holds this saga: CRC-32 of its id."""
    return zlib.crc32(saga.encode()) % partitions
