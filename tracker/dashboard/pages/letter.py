"""One dead letter: why it was given up, what it holds, what was done about it; and what can be done."""

from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from msgspec import json

from saga.runtime.kafka import KafkaError
from tracker.access.role import Role
from tracker.core.dead_letter import read_place
from tracker.core.redrive import STAYS
from tracker.core.words import plural
from tracker.dashboard.ask import ask
from tracker.dashboard.desk import Desk
from tracker.dashboard.moment import ago, at, ms_of
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.pages.dead_letters import jobs_panel, letter_asks, letter_state, path_of
from tracker.dashboard.place import Place, href, path_to
from tracker.dashboard.table import facts, table
from tracker.dashboard.words import class_name, short_id, state
from tracker.jobs.job import letters_of
from tracker.view.dead_letters import NoSuchLetter, Whole, read_whole_letter
from tracker.view.documents.letter import WholeLetter, whole_letter
from tracker.view.documents.payload import PayloadDocument
from tracker.view.queries.dead_letters import LetterRow, letters_of_event, one_letter
from tracker.view.queries.jobs import JobRow, newest_redrives

PAYLOAD_LENGTH_MAX = 50_000
"""Characters of a payload that are shown; a longer one is edited with `saga dlq edit`."""

KEPT_MS = 60_000
"""A record never changes, but it may be dropped, or its event be announced otherwise."""

JOBS_LOOKED_AT = 100


async def letter_page(desk: Desk, place: Place, role: Role) -> Page:
    """The letter that the path names, topic/partition/offset."""
    name = unquote(place.path.removeprefix("/dead-letters/"))
    where = read_place(name)
    letter = None if where is None else await desk.ask(name, one_letter, where)
    if where is None or letter is None:
        nothing = empty(
            "There is no such letter",
            f"None stands at {name}, or none any more. ",
            link("/dead-letters", "", "All dead letters"),
            ".",
        )
        return Page("No such letter", body(head("Dead letter"), panel("", nothing)))
    history = await desk.ask(("event", name), letters_of_event, letter)
    newest = await desk.ask(JOBS_LOOKED_AT, newest_redrives, JOBS_LOOKED_AT)
    redrives = [job for job in newest if name in letters_of(job).letters]
    # What was done about it stands on another topic: with that the record is read anew.
    done = letter.done["at"] if letter.done is not None else ""
    read: Whole | str | None
    try:
        read = await desk.look(
            f"letter {name} {done}", KEPT_MS, lambda: read_whole_letter(desk.context.settings, where)
        )
    except NoSuchLetter:
        read = "Kafka has dropped its record: payload and headers are gone with it."
    except (KafkaError, OSError):
        read = "Kafka does not answer, and payload and headers are there only. It is tried again and again."
    whole = whole_letter(read, desk.known) if isinstance(read, Whole) else read
    return Page(f"Dead letter {name}", letter_body(letter, whole, history, redrives, role))


def letter_body(
    letter: LetterRow,
    whole: WholeLetter | str | None,
    history: Sequence[LetterRow],
    redrives: Sequence[JobRow],
    role: Role,
) -> Node:
    """All of the page.

    Parameters
    ----------
    whole : what its record holds; a text says why that is not known, None that it is being read.
    history : all letters of its event, oldest first.
    redrives : those that name this letter.
    """
    return body(
        head(
            "Dead letter",
            letter_state(letter),
            span("mono soft", letter.letter),
            div("fill"),
            div("actions", *_asks(letter, whole)) if role >= Role.OPERATOR else None,
        ),
        div("two", _facts(letter), _error(letter)),
        jobs_panel(redrives, None, role),
        _history(letter, history),
        *_record(whole),
    )


def _asks(letter: LetterRow, whole: WholeLetter | str | None) -> Iterator[Node]:
    redrive_and_discard = letter_asks(letter)
    yield from redrive_and_discard[:2]
    if letter.state in STAYS and isinstance(whole, WholeLetter):
        yield from _ask_edit(letter, whole.edited or whole.payload)
    yield from redrive_and_discard[2:]


def _ask_edit(letter: LetterRow, payload: PayloadDocument) -> list[Node]:
    text = _text(payload) if payload.form == "json" else ""
    if len(text) > PAYLOAD_LENGTH_MAX:
        return []
    masked = " *** stands for what is masked: where it is left the value stays." if payload.masked else ""
    return ask(
        "letter edit",
        "edit-letter",
        "Edit",
        "Give it another payload",
        f"A redrive sends this instead; the letter keeps what was published.{masked}",
        {"letter": letter.letter},
        h(
            "label",
            {},
            "Payload, as JSON",
            h(
                "textarea",
                {"name": "payload", "required": True, "rows": 12, "class": "mono", "spellcheck": "false"},
                text,
            ),
        ),
    )


def _facts(letter: LetterRow) -> Node:
    named = {"topic": letter.letter.partition("/")[0], "service": letter.service, "type": letter.type}
    alike = link(href("/dead-letters", {**named, "error": letter.error}), "", "letters like it")
    saga = link(path_to("sagas", letter.saga), "mono", short_id(letter.saga), title=letter.saga)
    given_up = ms_of(letter.given_up)
    told: list[tuple[str, list[Child]]] = [
        ("Service", [link(path_to("services", letter.service), "", letter.service)]),
        ("Handler", [letter.handler] if letter.handler else []),
        ("Event", [link(href("/services", {"event": letter.type}), "", letter.type)] if letter.type else []),
        ("Event id", [span("mono", letter.event)] if letter.event else []),
        ("Saga", [saga] if letter.saga else ["none: its record names no saga"]),
        (
            "Given up",
            [at(given_up), ", ", ago(given_up), " ago"] if given_up is not None else [letter.given_up],
        ),
        ("Attempts", [f"{letter.attempts:,}"] if letter.attempts is not None else []),
        ("Redriven before", [plural(letter.replays, "time")] if letter.replays > 0 else []),
        ("Stood at", [span("mono", letter.original)] if not letter.original.startswith("/") else []),
        ("Headers of", [letter.family] if letter.family else ["nobody: no family of headers is known"]),
        ("See also", [alike]),
    ]
    return panel("What it is", facts(told))


def _error(letter: LetterRow) -> Node:
    if not (letter.error or letter.message):
        return panel("Why", h("p", {"class": "soft"}, "Its headers tell no error."))
    return panel(
        "Why",
        h("p", {}, state("late", class_name(letter.error) or "not told")),
        h("p", {"class": "wide-text"}, letter.message),
        h("p", {"class": "mono faint wide-text"}, letter.error),
    )


def _history(letter: LetterRow, history: Sequence[LetterRow]) -> Node:
    """It never changes itself: what fails again is another letter of the same event."""
    rows = [_event_letter(each, here=each.letter == letter.letter) for each in history]
    return panel(
        "History",
        table(["Given up", "Letter", "Stands", "Attempts", "What was done"], rows, right=("Attempts",)),
        beside=span("soft", f"{plural(len(history), 'letter')} of this event") if len(history) > 1 else None,
        name="history",
    )


def _event_letter(letter: LetterRow, *, here: bool) -> Node:
    given_up = ms_of(letter.given_up)
    name = span("mono", letter.letter)
    return h(
        "tr",
        {"key": letter.letter},
        h("td", {"class": "tight soft"}, at(given_up) if given_up is not None else letter.given_up),
        h("td", {}, [name, span("faint", " this one")] if here else link(path_of(letter.letter), "", name)),
        h("td", {"class": "tight"}, letter_state(letter)),
        h("td", {"class": "right"}, "" if letter.attempts is None else f"{letter.attempts:,}"),
        h("td", {"class": "wide-text"}, *_done(letter)),
    )


def _done(letter: LetterRow) -> list[Child]:
    done = letter.done
    if done is None:
        return [span("faint", "nothing yet")]
    when = ms_of(done["at"])
    return [
        f"{done['outcome']} by {done['by']}: {done['reason']}",
        *([", ", at(when)] if when is not None else []),
        f"; edited by {done['edited_by']}" if done["edited_by"] and done["outcome"] != "edited" else "",
        span("mono faint", f" to {done['to']}") if done["to"] else None,
    ]


def _record(whole: WholeLetter | str | None) -> Iterator[Node]:
    if whole is None:
        yield panel("", empty("The record is being read", "This takes a moment."))
    elif isinstance(whole, str):
        yield panel("", empty("The record can't be shown", whole))
    else:
        if whole.edited is not None:
            yield _payload("Payload that a redrive sends", whole.edited, "edited")
        yield _payload("Payload", whole.payload, "as it was published")
        yield _trace(whole.stack)
        yield _headers(whole)


def _payload(title: str, payload: PayloadDocument, what: str) -> Node:
    if payload.form == "none":
        return panel(title, h("p", {"class": "soft"}, "None: the record has a null value."))
    said = what
    if payload.masked:
        said += ", " + (f"masked: {', '.join(payload.masked)}" if payload.masked != ("",) else "masked")
    text = _text(payload)
    more = f"The first {PAYLOAD_LENGTH_MAX:,} of {len(text):,} characters."
    return panel(
        title,
        h("pre", {"class": "scroll mono", "tabindex": 0}, text[:PAYLOAD_LENGTH_MAX]),
        h("p", {"class": "soft"}, _why_masked(payload)) if payload.masked == ("",) else None,
        h("p", {"class": "soft"}, more) if len(text) > PAYLOAD_LENGTH_MAX else None,
        beside=span("soft wide-text", said),
    )


def _why_masked(payload: PayloadDocument) -> str:
    if payload.form == "text":
        return "It is no JSON, so that it can't be told what in it is sensitive."
    return f"No service announces what {payload.type or 'an event without a type'} v{payload.version} holds."


def _text(payload: PayloadDocument) -> str:
    return json.format(json.encode(payload.payload), indent=2).decode()


def _trace(stack: str) -> Node:
    if not stack:
        return panel("Trace", h("p", {"class": "soft"}, "Its headers tell none."))
    return panel("Trace", h("pre", {"class": "scroll mono", "tabindex": 0}, stack.rstrip()), name="trace")


def _headers(whole: WholeLetter) -> Node:
    rows = [
        h(
            "tr",
            {"key": f"{number}"},
            h("td", {"class": "mono tight"}, name),
            h("td", {"class": "mono wide-text"}, span("faint", "null") if value is None else value),
        )
        for number, (name, value) in enumerate(whole.headers)
    ]
    key = "no key" if whole.key is None else f"key {whole.key}"
    return panel("Headers", table(["Name", "Value"], rows), beside=span("soft mono", key), name="headers")
