"""A saga as the tracker keeps it: events, and what became of each. MessagePack, fields in order.

Its steps are canonical: the same facts, in whatever order and however often they came, make the same
steps and the same bytes (`tracker.core.fold`). Its course is what the tracker has decided on the way
(`tracker.core.advance`). No value is ever changed in place.
Texts that may be absent are "" here and not None, so that all of them can be compared.
"""

from msgspec import DecodeError, Struct, msgpack, structs

from saga.core.receipt import Outcome
from tracker.core.course import Course
from tracker.core.errors import UnreadableSaga

SAGAS_CHANGELOG_TOPIC = "saga-tracker-sagas-changelog"
"""Compacted; key: the id of the saga, value: `encode_saga`, or null once the saga is removed."""

TRACKER_GROUP = "saga-tracker"
"""The consumer group of the trackers. Its name and that of the table make the changelog's."""

SAGA_VERSION = 4

STEPS_MAX = 500
"""Steps of one saga that are kept whole. Each change of a saga writes all of them, some 90 KB: so many more
than nearly every saga has, and few enough that a saga of a hundred thousand events costs no more for each."""

MARKS_PER_TYPE_MAX = 16
MARKED_TYPES_MAX = 200
SILENCE_TOLD_MS = 10_000
"""How exactly it is kept when a saga was heard of last: what is always news would always be written."""

COPIES_MAX = 16
HANDLINGS_MAX = 64
CHILDREN_MAX = 1_000
ATTEMPTS_MAX = 16
REFUSED_MAX = 16

# What an attempt came to, by the number that stands for it on the wire: never reorder.
OUTCOMES: tuple[Outcome, ...] = ("retrying", "dead-lettered", "ignored", "handled", "parked")


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


class Mark(Struct, frozen=True, order=True, array_like=True, gc=False):
    """An event of a saga beyond its limit: that it came, and what undoing it needs."""

    time_ms: int
    event: str
    seen: Seen
    data: bytes = b""

    @property
    def step(self) -> Step:
        return Step(self.seen, (), (), self.data)


class Sample(Struct, frozen=True, array_like=True, gc=False):
    """What a saga has instead of all of its steps once there are more than `STEPS_MAX`.

    Attributes
    ----------
    level : its steps are one in 2 ** `level` of those it has had.
    marks : by type the earliest events, `MARKS_PER_TYPE_MAX` of each of `MARKED_TYPES_MAX` types, whether
        they are among the steps or not: how it goes along its flow can be told by these.
    last_ms : time of its newest event, rounded down to `SILENCE_TOLD_MS`.
    """

    level: int
    marks: dict[str, tuple[Mark, ...]]
    last_ms: int


class Link(Struct, frozen=True, order=True, array_like=True, gc=False):
    """A saga that another one belongs to, known by the key of this rank (`tracker.core.join`)."""

    rank: int
    saga: str


class Joins(Struct, frozen=True, array_like=True, gc=False):
    """What a saga that is named by one of several keys is joined with.

    Attributes
    ----------
    links : by rank, one of each: it belongs to the first one.
    refused : those that contradict these, the first `REFUSED_MAX`.
    """

    links: tuple[Link, ...] = ()
    refused: tuple[str, ...] = ()


class Saga(Struct, frozen=True, array_like=True, gc=False):
    """One business transaction. `steps` are by event id, in the order of the ids.

    `due_ms` is the next moment at which time alone changes the saga, -1 if there is none, and `heard_ms`
    when it was last heard of, by the times of its facts and rounded down to `SILENCE_TOLD_MS`; they stand
    first so that indexes can be read without the rest. `course` is None as long as nothing was decided: no
    known flow begins with its first event, and no operator did anything. `children` are sorted, the oldest
    `CHILDREN_MAX`. A saga may be known by its children alone. `sample` is None as long as it has all of its
    steps. `joins` is None for those that no record names by several keys.
    """

    version: int
    id: str
    due_ms: int
    heard_ms: int
    steps: dict[str, Step]
    course: Course | None = None
    parent: Parent | None = None
    children: tuple[Child, ...] = ()
    sample: Sample | None = None
    joins: Joins | None = None

    @property
    def joined(self) -> str:
        """The saga that this one belongs to, "" for itself. One that does has no steps: it handed them on."""
        return self.joins.links[0].saga if self.joins is not None and self.joins.links else ""

    @property
    def truncated(self) -> bool:
        """Whether there are events that are not among its steps."""
        return self.sample is not None

    @property
    def events(self) -> int:
        """How many events the saga has; about as many, where it has only a sample of them."""
        return len(self.steps) << (0 if self.sample is None else self.sample.level)


def marked(saga: Saga) -> dict[str, Step]:
    """The events that are known to have come and are not among the steps, by id."""
    if saga.sample is None:
        return {}
    marks = (mark for marks in saga.sample.marks.values() for mark in marks)
    return {mark.event: mark.step for mark in marks if mark.event not in saga.steps}


def with_marks(saga: Saga) -> Saga:
    """The saga with these among its steps, to look at and not to keep; itself if it has all of its steps."""
    return saga if saga.sample is None else structs.replace(saga, steps=saga.steps | marked(saga))


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
        raise UnreadableSaga(other_version(saga.version))
    return saga


class SagaHead(Struct, frozen=True, array_like=True, gc=False):
    """The first fields of a saga; the others are skipped, which is what makes reading many quick."""

    version: int
    id: str
    due_ms: int
    heard_ms: int


decode_head = msgpack.Decoder(SagaHead).decode


def other_version(version: int) -> str:
    """What to say of a saga of this format version, and what to do."""
    return (
        f"a saga of format version {version}, but this tracker reads {SAGA_VERSION}: "
        "run the version of the tracker that wrote it"
    )
