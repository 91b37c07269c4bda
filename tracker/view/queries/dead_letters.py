"""Dead letters in the read model: by what they have in common, or one by one."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, String, case, cast, func, select, tuple_

from tracker.core.dead_letter import Place
from tracker.core.redrive import TO_DO, State
from tracker.view.documents.moment import moment, timestamp
from tracker.view.model.feeds import dead_letters, redrives
from tracker.view.model.shape import stored
from tracker.view.queries.cursor import UnusableCursor

LETTERS_MAX = 100
"""Of one event."""


class LetterGroup(Struct, frozen=True):
    """Dead letters with the same topic, service, event type and error; `to_do` is what a redrive takes."""

    topic: str
    service: str
    type: str
    error: str
    letters: int
    to_do: int
    states: dict[str, int]
    oldest: str
    newest: str


class LetterGroups(Struct, frozen=True):
    """All groups of dead letters, those with most to do first."""

    groups: list[LetterGroup]


class LetterRow(Struct, frozen=True):
    """A dead letter without its payload.

    Attributes
    ----------
    original : where the event stood that was given up; "" if that is not told.
    size : bytes of the payload, null where it was not looked at.
    done : what was done about it last, by whom and why.
    batch : the last redrive that it came back from.
    """

    letter: str
    state: str
    family: str
    given_up: str
    service: str
    handler: str
    type: str
    event: str
    saga: str
    error: str
    message: str
    attempts: int | None
    replays: int
    original: str
    size: int | None
    done: dict[str, str] | None = None
    first_failed: str | None = None
    batch: str = ""


class LetterPage(Struct, frozen=True):
    """Dead letters, the newest first; `next` is what to ask for behind the last of them."""

    letters: list[LetterRow]
    next: str | None


class WantedLetters(NamedTuple):
    """What a letter must be to be found; None where anything will do."""

    topic: str | None = None
    service: str | None = None
    type: str | None = None
    error: str | None = None
    state: State | None = None
    saga: str | None = None


_d, _r = dead_letters.c, redrives.c
_letter = _d.topic + "/" + cast(_d.partition, String) + "/" + cast(_d.offset, String)
_joined = dead_letters.outerjoin(redrives, _r.letter == _letter)
_again = select(
    _d.from_topic + "/" + cast(_d.from_partition, String) + "/" + cast(_d.from_offset, String)
).where(_d.replays > 0)
"""Where events stood that were redriven and have come back as other letters."""

_state = case(
    ((_r.outcome == "redriven") & _r.to.in_(_again), "failed-again"),
    else_=func.coalesce(_r.outcome, "waiting"),
)
_COLUMNS = _d.at_ms, _d.topic, _d.partition, _d.offset


def letter_groups(connection: Connection, wanted: WantedLetters) -> LetterGroups:
    """The groups of the letters that are wanted."""
    key = _d.topic, _d.service, _d.event_type, _d.error
    query = (
        select(*key, _state, func.count(), func.min(_d.at_ms), func.max(_d.at_ms))
        .select_from(_joined)
        .where(*_conditions(wanted))
        .group_by(*key, _state)
    )
    found: dict[tuple[str, str, str, str], list[tuple[str, int, int, int]]] = {}
    for topic, service, type_, error, state, count, oldest, newest in connection.execute(query):
        found.setdefault((topic, service, type_, error), []).append((state, count, oldest, newest))
    groups = [_group(*names, states) for names, states in found.items()]
    return LetterGroups(sorted(groups, key=lambda group: (-group.to_do, -group.letters, group.topic)))


def count_letters(connection: Connection, states: Collection[State]) -> int:
    """How many letters are in one of these states."""
    query = select(func.count()).select_from(_joined).where(_state.in_(sorted(states)))
    return connection.scalar(query) or 0


def find_letters(connection: Connection, wanted: WantedLetters, limit: int, after: str | None) -> LetterPage:
    """A page of the letters that are wanted.

    Raises
    ------
    UnusableCursor
        `after` is no `next` of such a page.
    """
    conditions = _conditions(wanted)
    if after is not None:
        conditions.append(tuple_(*_COLUMNS) < tuple_(*_read_cursor(after)))
    query = (
        select(dead_letters, _letter.label("letter"), _state.label("state"), *_DONE)
        .select_from(_joined)
        .where(*conditions)
        .order_by(*(column.desc() for column in _COLUMNS))
        .limit(limit + 1)
    )
    rows = list(connection.execute(query))
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return LetterPage(
        [_row(row) for row in rows[:limit]],
        None if last is None else f"{last.at_ms}/{last.topic}/{last.partition}/{last.offset}",
    )


def one_letter(connection: Connection, at: Place) -> LetterRow | None:
    """The letter that stands there; None if none is known."""
    here = (_d.topic == stored(at.topic), _d.partition == at.partition, _d.offset == at.offset)
    return next(iter(_rows(connection, *here)), None)


def letters_of_event(connection: Connection, letter: LetterRow) -> list[LetterRow]:
    """All letters that the service has made of this event, oldest first: it may have failed again."""
    if not (letter.saga and letter.event):
        return [letter]
    same = (_d.saga == stored(letter.saga), _d.event == stored(letter.event))
    return _rows(connection, *same, _d.service == stored(letter.service))


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> list[LetterRow]:
    query = (
        select(dead_letters, _letter.label("letter"), _state.label("state"), *_DONE)
        .select_from(_joined)
        .where(*conditions)
        .order_by(*_COLUMNS)
        .limit(LETTERS_MAX)
    )
    return [_row(row) for row in connection.execute(query)]


_TOLD = ("outcome", "by", "reason", "at_ms", "batch", "to", "edited_by")
_DONE = [_r[name].label(f"done_{name}") for name in _TOLD]


def _row(row: object) -> LetterRow:
    found = row._mapping  # type: ignore[attr-defined]
    return LetterRow(
        found["letter"],
        found["state"],
        found["family"],
        timestamp(found["at_ms"]),
        found["service"],
        found["handler"],
        found["event_type"],
        found["event"],
        found["saga"],
        found["error"],
        found["message"],
        found["attempts"] if found["attempts"] >= 0 else None,
        found["replays"],
        str(Place(*(found[f"from_{name}"] for name in Place._fields))) if found["from_topic"] else "",
        found["size"],
        None
        if found["done_outcome"] is None
        else {
            "outcome": found["done_outcome"],
            "by": found["done_by"],
            "reason": found["done_reason"],
            "at": timestamp(found["done_at_ms"]),
            "batch": found["done_batch"],
            "to": found["done_to"],
            "edited_by": found["done_edited_by"],
        },
        moment(found["first_failed_ms"]),
        found["batch"],
    )


def _group(
    topic: str, service: str, type_: str, error: str, states: Sequence[tuple[str, int, int, int]]
) -> LetterGroup:
    counts = {state: count for state, count, _, _ in states}
    return LetterGroup(
        topic,
        service,
        type_,
        error,
        sum(counts.values()),
        sum(count for state, count in counts.items() if state in TO_DO),
        counts,
        timestamp(min(oldest for _, _, oldest, _ in states)),
        timestamp(max(newest for _, _, _, newest in states)),
    )


def _conditions(wanted: WantedLetters) -> list[ColumnElement[bool]]:
    named = (
        (_d.topic, wanted.topic),
        (_d.service, wanted.service),
        (_d.event_type, wanted.type),
        (_d.error, wanted.error),
        (_d.saga, wanted.saga),
        (_state, wanted.state),
    )
    return [column == stored(value) for column, value in named if value is not None]


def _read_cursor(text: str) -> tuple[int, str, int, int]:
    try:
        at_ms, topic, partition, offset = text.split("/")
        return int(at_ms), topic, int(partition), int(offset)
    except ValueError as error:
        raise UnusableCursor(f"{text!r} is no `next` of a page of dead letters") from error
