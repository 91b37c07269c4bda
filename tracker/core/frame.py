"""Frames: many facts in one Kafka record, and how far in time their sources have been read.

A frame belongs to one partition of `saga.steps`. Facts are grouped by saga, so that the tracker
decodes, folds and encodes each saga once a frame. MessagePack, fields in order, no names.
"""

import zlib
from collections.abc import Mapping

from msgspec import DecodeError, Struct, msgpack

from saga.core.receipt import Failure, Outcome
from tracker.core.command import Action

STEPS_TOPIC = "saga.steps"
FRAME_VERSION = 2
"""2 added payloads, commands and child sagas at the ends of what was there: 1 is read as well."""

UNREAD_MS = -1
"""In the place of a watermark: the source partition exists, but the sender does not read it."""


class EventSeen(Struct, frozen=True, array_like=True, gc=False, tag_field="fact", tag=0):
    """An event stands on a business topic.

    (topic, partition, offset) tells a frame sent twice from an event published twice.
    `time_ms` is the event's own time, milliseconds since the Unix epoch. `data` is its payload, a
    JSON object; None where no flow needs it, or it is none, or too large. `parent` is the saga of its
    cause, where the event begins another one.
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


class ChildBegun(Struct, frozen=True, array_like=True, gc=False, tag_field="fact", tag=3):
    """An event of the saga led to the first event of another one, which is of this `type`.

    `event` is the id of the cause, "" where it was not told.
    """

    child: str
    type: str
    event: str
    at_ms: int


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


Observation = EventSeen | ReceiptSeen | ChildBegun
"""What happened in the business."""

Fact = Observation | CommandSeen


class Watermark(Struct, frozen=True, array_like=True, gc=False):
    """Everything on this source partition up to `at_ms` has been read (DESIGN, section 5).

    `UNREAD_MS`: by somebody else, or by nobody as yet. So time waits for whoever does read it.
    """

    topic: str
    partition: int
    at_ms: int


class Frame(Struct, frozen=True, array_like=True, gc=False):
    """One record on `saga.steps`."""

    version: int
    watermarks: list[Watermark]
    sagas: dict[str, list[Fact]]


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(Frame)


def encode_frame(sagas: Mapping[str, list[Fact]], watermarks: list[Watermark]) -> bytes:
    """A frame as the value of a Kafka record."""
    return _encoder.encode(Frame(FRAME_VERSION, watermarks, dict(sagas)))


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
