"""Correlation rules: how records without our headers tell which event of which saga they are.

A rule names topics and says for each attribute where it stands: in a header, in the record's key, in its
JSON, or that it is always the same. Records that are CloudEvents need no rule, and none is asked for them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple, Protocol, assert_never

from msgspec import DecodeError, Struct, json

from saga.core.envelope import ID_LENGTH_MAX, Envelope

NO_SAGA = "no-saga"
NO_TYPE = "no-type"
NOT_JSON = "not-json"
BAD_TIME = "bad-time"
TOO_LONG = "too-long"

PathStep = str | int
"""A name of an object, or the place in an array; below zero counted from its end."""

_TIME_MS_MAX = 253_402_300_799_999  # the end of the year 9999: what people can read, and MessagePack hold
_NUMBER = re.compile(r"\d{1,25}(\.\d{1,25})?", re.ASCII)
_OFFSET_DIGITS = 12


class Header(Struct, frozen=True, tag=True):
    """The header of this name."""

    name: str
    prefix: str = ""


class Key(Struct, frozen=True, tag=True):
    """The key of the record."""

    prefix: str = ""


class Path(Struct, frozen=True, tag=True):
    """The value at the end of these steps into the record's JSON."""

    steps: tuple[PathStep, ...]
    prefix: str = ""


class Constant(Struct, frozen=True, tag=True):
    """Always this text."""

    text: str


Place = Header | Key | Path | Constant


class Moment(Struct, frozen=True):
    """Where a time stands. `per_second`: how many of its units, where it is a number, make a second."""

    place: Place
    per_second: int = 1_000


class Rule(Struct, frozen=True, dict=True):
    """One version of a correlation rule. `source` is the text of its file.

    Of several places for one attribute the first counts at which there is something. With `keys`, which
    have names, `saga` is empty.
    """

    name: str
    version: int
    topics: tuple[str, ...]
    saga: tuple[Place, ...]
    type: tuple[Place, ...]
    id: tuple[Place, ...] = ()
    time: tuple[Moment, ...] = ()
    cause: tuple[Place, ...] = ()
    key: tuple[Place, ...] = ()
    origin: tuple[Place, ...] = ()
    description: str = ""
    source: str = ""
    keys: tuple[tuple[str, tuple[Place, ...]], ...] = ()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(re.escape(topic).replace(r"\*", ".*") for topic in self.topics))

    def takes(self, topic: str) -> bool:
        """Whether the rule is for this topic; `*` in one of its topics stands for any characters."""
        return self._pattern.fullmatch(topic) is not None


class Rules:
    """The newest version of each rule that is known."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = tuple(sorted(rules, key=lambda rule: rule.name))
        self._of: dict[str, tuple[Rule, ...]] = {}

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def get(self, name: str) -> Rule | None:
        """The rule of this name; None when there is none."""
        return next((rule for rule in self._rules if rule.name == name), None)

    def of(self, topic: str) -> tuple[Rule, ...]:
        """The rules for a topic, in the order of their names."""
        found = self._of.get(topic)
        if found is None:
            found = self._of[topic] = tuple(rule for rule in self._rules if rule.takes(topic))
        return found


class Record(Protocol):
    """What is read of a Kafka record; aiokafka's ConsumerRecord has it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Correlated(NamedTuple):
    """The event that a record is, and its business key; None: the key of the record.

    `rank` is the number of the key that names its saga, and `others` are the sagas that the record names
    by later keys.
    """

    envelope: Envelope
    key: str | None
    rank: int = 0
    others: tuple[str, ...] = ()


def correlate(rules: Iterable[Rule], topic: str, partition: int, record: Record) -> Correlated | str:
    """What the first of these rules makes of a record that fits; else the reason why the first does not."""
    reading = _Reading(record)
    reason = ""
    for rule in rules:
        found = _correlated(rule, topic, partition, reading)
        if isinstance(found, Correlated):
            return found
        reason = reason or found
    return reason


def _correlated(rule: Rule, topic: str, partition: int, reading: "_Reading") -> Correlated | str:
    named = [
        (rank, f"{name}:{value}")
        for rank, (name, places) in enumerate(rule.keys)
        if (value := reading.text(places))
    ]
    rank, saga = named[0] if named else (0, reading.text(rule.saga))
    others = tuple(other for _, other in named[1:])
    event_type = reading.text(rule.type) if saga else ""
    if not (saga and event_type):
        return NOT_JSON if reading.broken else NO_TYPE if saga else NO_SAGA
    # Digits in front: events of one moment stand in the order of their offsets.
    event = reading.text(rule.id) or f"{topic}-{partition}-{reading.record.offset:0{_OFFSET_DIGITS}}"
    if max(map(len, (event, saga, *others))) > ID_LENGTH_MAX:
        return TOO_LONG
    time_ms = reading.time_ms(rule.time)
    if time_ms is None:
        return BAD_TIME
    envelope = Envelope(
        event,
        event_type,
        reading.text(rule.origin) or topic,
        saga,
        time_ms,
        reading.text(rule.cause) or None,
    )
    return Correlated(envelope, reading.text(rule.key) or None, rank, others)


class _Reading:
    """One record. Its JSON is decoded once, and only if a rule asks for it; `broken`: there is none."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.broken = False
        self._data: Any = _reading_data
        self._headers: Mapping[str, bytes | None] | None = None

    def text(self, places: Iterable[Place]) -> str:
        """What stands at the first of these places at which there is something; "" without one."""
        for place in places:
            found = self._at(place)
            if found:
                return found
        return ""

    def time_ms(self, moments: Iterable[Moment]) -> int | None:
        """The time at the first of these places, or that of the record; None if it can't be read."""
        for moment in moments:
            found = self._at(moment.place)
            if found:
                return _time_ms(found.strip(), moment.per_second)
        return self.record.timestamp

    def _at(self, place: Place) -> str:
        match place:
            case Header(name, prefix):
                return _prefixed(prefix, _decoded(self._header(name)))
            case Key(prefix):
                return _prefixed(prefix, _decoded(self.record.key))
            case Path(steps, prefix):
                return _prefixed(prefix, _scalar(self._value(steps)))
            case Constant(text):
                return text
            case _:
                assert_never(place)

    def _header(self, name: str) -> bytes | None:
        if self._headers is None:
            self._headers = dict(self.record.headers)
        return self._headers.get(name)

    def _value(self, steps: Iterable[PathStep]) -> object:
        if self._data is _reading_data:
            self._data = self._json()
        value = self._data
        for step in steps:
            if isinstance(step, str):
                value = value.get(step) if isinstance(value, dict) else None
            else:
                inside = isinstance(value, list) and -len(value) <= step < len(value)
                value = value[step] if inside else None
        return value

    def _json(self) -> object:
        try:
            return json.decode(self.record.value or b"")
        except (DecodeError, UnicodeDecodeError, RecursionError):
            self.broken = True
            return None


_reading_data = object()
"""Stands for JSON that nobody has asked for yet: null is a value."""


def _prefixed(prefix: str, text: str) -> str:
    return prefix + text if text else ""


def _decoded(value: bytes | None) -> str:
    """A text; "" where it is none: half of an id would be another saga's."""
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        return ""


def _scalar(value: object) -> str:
    """A text or a number as text; nothing else can name anything."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def _time_ms(text: str, per_second: int) -> int | None:
    """Milliseconds since 1970 of an ISO 8601 text, which is UTC without a zone, or of a number."""
    try:
        if _NUMBER.fullmatch(text):
            whole, _, fraction = text.partition(".")
            # In whole numbers: a float has too few digits for nanoseconds.
            scale = 10 ** len(fraction)
            time_ms = int(whole + fraction) * 1_000 // (per_second * scale)
        else:
            moment = datetime.fromisoformat(text)
            zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            time_ms = round(zoned.timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None
    return time_ms if 0 <= time_ms <= _TIME_MS_MAX else None
