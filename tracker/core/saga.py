"""A saga as the tracker keeps it: events, and what became of each. MessagePack, fields in order.

Its steps are canonical: the same facts, in whatever order and however often they came, make the same
steps and the same bytes (`tracker.core.fold`). Its course is what the tracker has decided on the way
(`tracker.core.advance`). No value is ever changed in place.
Texts that may be absent are "" here and not None, so that all of them can be compared.
"""

from msgspec import DecodeError, Struct, msgpack

from saga.core.receipt import Outcome
from tracker.core.course import Course
from tracker.core.errors import UnreadableSaga

SAGAS_CHANGELOG_TOPIC = "saga-tracker-sagas-changelog"
"""Compacted; key: the id of the saga, value: `encode_saga`, or null once the saga is removed."""

SAGA_VERSION = 2

STEPS_MAX = 4_000
"""Steps of one saga. So many, at some 180 bytes with a receipt each, fit into a Kafka record of 1 MB."""

COPIES_MAX = 16
HANDLINGS_MAX = 64
CHILDREN_MAX = 1_000
ATTEMPTS_MAX = 16

# What an attempt came to, by the number that stands for it on the wire: never reorder.
OUTCOMES: tuple[Outcome, ...] = ("retrying", "dead-lettered", "ignored", "handled")


class Attempt(Struct, frozen=True, order=True, array_like=True, gc=False):
    """One run of a handler. The greater of two says more about where the handler stands.

    Attributes
    ----------
    settled : handled or ignored. It outranks whatever is told later: a repeat of an event that has
        been handled changes nothing, even when the repeat fails.
    at_ms : when it began, milliseconds since the Unix epoch.
    number : counted from 1.
    code : index of its outcome in `OUTCOMES`.
    error, message : class and message of the exception, "" without one.
    retry_at_ms : when the next attempt is due; -1 without one.
    """

    settled: bool
    at_ms: int
    number: int
    code: int
    duration_us: int
    error: str = ""
    message: str = ""
    retry_at_ms: int = -1

    @property
    def outcome(self) -> Outcome:
        return OUTCOMES[self.code]


class Handling(Struct, frozen=True, array_like=True, gc=False):
    """What one handler of a service did with an event: its attempts, the telling one last.

    Of more than `ATTEMPTS_MAX` attempts the greatest are kept.
    """

    service: str
    handler: str
    attempts: tuple[Attempt, ...]

    @property
    def standing(self) -> Attempt:
        """The attempt that says where the handler stands."""
        return self.attempts[-1]


class Position(Struct, frozen=True, order=True, array_like=True, gc=False):
    """Where a copy of an event lies in Kafka."""

    topic: str
    partition: int
    offset: int


class Seen(Struct, frozen=True, order=True, array_like=True, gc=False):
    """An event as it was read. Of several copies the least is the one that counts.

    `time_ms` is the event's own time, milliseconds since the Unix epoch. `cause` is "" for an event that
    begins the saga: the cause of a child's first event is in `Saga.parent`. `key` is "" where the
    record's key is only the id of the saga once more.
    """

    time_ms: int
    topic: str
    partition: int
    offset: int
    type: str
    source: str
    cause: str
    key: str
    version: int

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)


class Step(Struct, frozen=True, array_like=True, gc=False):
    """One event of a saga, with the receipts it got.

    Attributes
    ----------
    seen : None as long as only receipts tell of the event.
    copies : where it lies when it was published more than once, sorted, at most `COPIES_MAX`;
        empty when it was published once.
    handlings : sorted by service and handler, at most `HANDLINGS_MAX`.
    data : the payload, JSON; b"" where no flow needs it, or it is not known.
    """

    seen: Seen | None
    copies: tuple[Position, ...] = ()
    handlings: tuple[Handling, ...] = ()
    data: bytes = b""


class Parent(Struct, frozen=True, order=True, array_like=True, gc=False):
    """The saga that began this one, and which event of it; "" where that was not told."""

    saga: str
    event: str


class Child(Struct, frozen=True, order=True, array_like=True, gc=False):
    """A saga that an event of this one began: when, its id, the event, and the type of its first event."""

    at_ms: int
    saga: str
    event: str
    type: str


class Saga(Struct, frozen=True, array_like=True, gc=False):
    """One business transaction. `steps` are by event id, in the order of the ids.

    `due_ms` is the next moment at which time alone changes the saga, -1 if there is none; it stands
    first so that an index of deadlines can be read without the rest. `course` is None as long as
    nothing was decided: no known flow begins with its first event, and no operator did anything.
    `children` are sorted, the oldest `CHILDREN_MAX`. A saga may be known by its children alone.
    """

    version: int
    id: str
    due_ms: int
    steps: dict[str, Step]
    course: Course | None = None
    parent: Parent | None = None
    children: tuple[Child, ...] = ()

    @property
    def truncated(self) -> bool:
        """Whether the saga reached its limit: there may be events that are not among its steps."""
        return len(self.steps) >= STEPS_MAX


encode_saga = msgpack.Encoder().encode
"""A saga as the value of a record on `SAGAS_CHANGELOG_TOPIC`."""

_decoder = msgpack.Decoder(Saga)


def decode_saga(value: bytes) -> Saga:
    """A saga from its bytes.

    Raises
    ------
    UnreadableSaga
        They are no saga, or one of another format version.
    """
    try:
        saga = _decoder.decode(value)
    except (DecodeError, UnicodeDecodeError) as error:
        raise UnreadableSaga(f"no saga of format version {SAGA_VERSION}: {error}") from error
    if saga.version != SAGA_VERSION:
        raise UnreadableSaga(
            f"a saga of format version {saga.version}, but this tracker reads {SAGA_VERSION}: "
            "run the version of the tracker that wrote it"
        )
    return saga
