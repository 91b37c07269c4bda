"""Dead letters: in groups of what they have in common, and one by one; given back, or discarded."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from tracker.access.role import Role
from tracker.core.redrive import STAYS, TO_DO, State
from tracker.core.words import plural
from tracker.dashboard.ask import ask
from tracker.dashboard.desk import Desk
from tracker.dashboard.job import goes_on, job_line, progress_of
from tracker.dashboard.moment import ago, at, ms_of
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.place import Place, href, path_to
from tracker.dashboard.table import PAGE_SIZE, chip, facts, live_panel, pager, table
from tracker.dashboard.words import class_name, short_id, state
from tracker.jobs.job import Letters, letters_of
from tracker.view.queries.cursor import UnusableCursor
from tracker.view.queries.dead_letters import (
    LetterGroup,
    LetterGroups,
    LetterPage,
    LetterRow,
    WantedLetters,
    find_letters,
    letter_groups,
)
from tracker.view.queries.jobs import JobRow, newest_redrives

GROUPS_MAX = 200
JOBS_SHOWN = 4

_STATES: tuple[State, ...] = ("waiting", *get_args(get_args(State)[1]))
_CLASSES: dict[str, str] = {
    "waiting": "late",
    "edited": "soon",
    "redriven": "going",
    "succeeded": "ok",
    "failed-again": "late",
    "parked": "stuck",
}
_WORDS = {"failed-again": "failed again"}
_NAMED = ("topic", "service", "type", "error", "saga")


async def dead_letters_page(desk: Desk, place: Place, role: Role) -> Page:
    """Groups; the letters of one of them once the address names it."""
    wanted = _wanted(place)
    if wanted is None:
        why = f"{place.asked['state']!r} is none of {', '.join(_STATES)}"
        nothing = empty("No such state", why, ": ", link(place.but(state=None), "", "take it away"), ".")
        return Page("Dead letters", body(head("Dead letters"), panel("", nothing)))
    everything = WantedLetters()
    groups, whole, newest = await asyncio.gather(
        desk.ask(wanted, letter_groups, wanted),
        desk.ask(everything, letter_groups, everything),
        desk.ask(JOBS_SHOWN, newest_redrives, JOBS_SHOWN),
    )
    redrives = jobs_panel(newest, whole, role)
    if not any(place.asked.get(name) for name in _NAMED):
        return Page("Dead letters", groups_body(groups, redrives, place, role))
    after = place.asked.get("after")
    try:
        letters = await desk.ask((wanted, after), find_letters, wanted, PAGE_SIZE, after)
    except UnusableCursor:
        return Page("Dead letters", "", moved=place.but())
    return Page("Dead letters", letters_body(groups, letters, redrives, place, role))


def _wanted(place: Place) -> WantedLetters | None:
    named = {name: place.asked.get(name) for name in _NAMED}
    chosen = place.asked.get("state")
    found = next((each for each in _STATES if each == chosen), None)
    return None if chosen and found is None else WantedLetters(**named, state=found)


def groups_body(groups: LetterGroups, redrives: Node | None, place: Place, role: Role) -> Node:
    """What services gave up, by what it has in common; what is to be done first."""
    letters = sum(group.letters for group in groups.groups)
    to_do = sum(group.to_do for group in groups.groups)
    said = f"{plural(letters, 'letter')}, {to_do:,} to be done" if letters else ""
    return body(
        head("Dead letters", h("p", {"class": "numbers"}, said)),
        _states(place),
        redrives,
        live_panel(place, *_groups(groups, place, role)),
    )


def _states(place: Place) -> Node:
    chosen = place.asked.get("state", "")
    return div(
        "chips",
        chip(place.but(state=None), "All", on=not chosen),
        *(chip(place.but(state=each), _word(each).capitalize(), on=each == chosen) for each in _STATES),
    )


def _groups(groups: LetterGroups, place: Place, role: Role) -> Iterator[Child]:
    if not groups.groups:
        yield _nothing(place)
        return
    columns = ["Service", "Event", "Error", "Letters", "Where they stand", "Newest", *_may(role)]
    yield table(columns, [_group(group, role) for group in groups.groups[:GROUPS_MAX]], right=("Letters",))
    if len(groups.groups) > GROUPS_MAX:
        yield h("p", {"class": "soft"}, f"These are {GROUPS_MAX} groups of {len(groups.groups):,}.")


def _nothing(place: Place) -> Node:
    if place.asked:
        return empty("No letter is like that", link("/dead-letters", "", "Take the filters away"), ".")
    return empty(
        "No dead letters",
        "What a service gives up after its last attempt comes here, with the reason. Nothing has to be done.",
    )


def _group(group: LetterGroup, role: Role) -> Node:
    address = _address(group)
    newest = ms_of(group.newest)
    error = class_name(group.error) or "not told"
    cells = [
        h("td", {"class": "tight"}, link(address, "", group.service, data_step=True)),
        h("td", {"class": "tight"}, group.type or span("faint", "no type")),
        h("td", {}, div("cut-text", error, title=group.error)),
        h("td", {"class": "right"}, f"{group.letters:,}"),
        h("td", {}, div("figures", *_stand(group.states))),
        h("td", {"class": "tight soft"}, *([ago(newest), " ago"] if newest is not None else [group.newest])),
    ]
    if role >= Role.OPERATOR:
        cells.append(h("td", {"class": "right"}, *(_redrive_group(group) if group.to_do else [])))
    return h("tr", {"data-href": address, "key": address}, *cells)


def _address(group: LetterGroup) -> str:
    named = {"topic": group.topic, "service": group.service, "type": group.type, "error": group.error}
    return href("/dead-letters", named)


def _stand(states: Mapping[str, int]) -> list[Child]:
    return [
        state(_CLASSES.get(each, "plain"), f"{states[each]:,} {_word(each)}")
        for each in _STATES
        if each in states
    ]


def _word(of: str) -> str:
    return _WORDS.get(of, of)


def _may(role: Role) -> list[str]:
    return [""] if role >= Role.OPERATOR else []


def _redrive_group(group: LetterGroup) -> list[Node]:
    given = {"topic": group.topic, "service": group.service, "type": group.type, "error": group.error}
    return ask(
        "letters redrive",
        f"redrive-{_address(group)}",
        "Redrive",
        f"Give {plural(group.to_do, 'letter')} back to {group.service}",
        f"{group.type or 'Events'} go back to their topic in growing batches: 1, 2, 4 and so on. It stops by "
        "itself when more than a fifth of a batch fails again.",
        given,
    )


def letters_body(
    groups: LetterGroups, page: LetterPage, redrives: Node | None, place: Place, role: Role
) -> Node:
    """The letters of one group, or of whatever the address names."""
    one = groups.groups[0] if len(groups.groups) == 1 else None
    count = sum(group.letters for group in groups.groups)
    named = [
        link(
            place.but(**{name: None}),
            "chip on",
            f"{name} {place.asked[name]}",
            span("", "✕"),
            title="Take it away",
        )
        for name in _NAMED
        if place.asked.get(name)
    ]
    may = role >= Role.OPERATOR and one is not None and one.to_do
    return body(
        head(
            "Dead letters",
            h("p", {"class": "numbers"}, plural(count, "letter"), *(_of(one) if one else [])),
            div("fill"),
            div("actions", *_redrive_group(one)) if may and one is not None else None,
        ),
        div("chips", link("/dead-letters", "chip", "All groups"), *named),
        _states(place),
        redrives,
        live_panel(place, *_letters(page, place, role)),
    )


def _of(group: LetterGroup) -> list[Child]:
    return [f" of {group.service}: {group.type or 'no type'}, {class_name(group.error) or 'no error told'}"]


def _letters(page: LetterPage, place: Place, role: Role) -> Iterator[Child]:
    if not page.letters:
        yield _nothing(place)
        return
    columns = ["Given up", "Stands", "Error", "Saga", "Attempts", "Letter", *_may(role)]
    yield table(columns, [_letter(letter, role) for letter in page.letters], right=("Attempts",))
    yield pager(place, page.next)


def _letter(letter: LetterRow, role: Role) -> Node:
    given_up = ms_of(letter.given_up)
    saga = (
        link(path_to("sagas", letter.saga), "mono", short_id(letter.saga), title=letter.saga)
        if letter.saga
        else span("faint", "none")
    )
    attempts = "" if letter.attempts is None else f"{letter.attempts:,}"
    again = f", redriven {plural(letter.replays, 'time')}" if letter.replays > 0 else ""
    cells = [
        h(
            "td",
            {"class": "tight"},
            *([ago(given_up), " ago"] if given_up is not None else [letter.given_up]),
        ),
        h("td", {"class": "tight"}, letter_state(letter)),
        h("td", {"class": "wide-text"}, *_why(letter)),
        h("td", {"class": "tight"}, saga),
        h("td", {"class": "right tight"}, attempts, span("soft", again)),
        h("td", {"class": "mono tight"}, link(path_of(letter.letter), "", letter.letter, data_step=True)),
    ]
    if role >= Role.OPERATOR:
        cells.append(h("td", {"class": "right tight"}, div("actions", *letter_asks(letter))))
    return h("tr", {"key": letter.letter, "data-href": path_of(letter.letter)}, *cells)


def path_of(letter: str) -> str:
    """The page of a letter, topic/partition/offset."""
    return path_to("dead-letters", *letter.split("/"))


def letter_state(letter: LetterRow) -> Node:
    """Where it stands, in the colour of that."""
    return state(_CLASSES.get(letter.state, "plain"), _word(letter.state))


def _why(letter: LetterRow) -> list[Child]:
    done = letter.done
    told: list[tuple[str, list[Child]]] = [
        ("Error", [letter.error]),
        ("Event", [span("mono", letter.event)] if letter.event else []),
        ("Handler", [letter.handler] if letter.handler else []),
        ("Stood at", [span("mono", letter.original)]),
        ("Payload", [f"{letter.size:,} bytes"]),
        ("Headers of", [letter.family]),
    ]
    if done is not None:
        done_ms = ms_of(done["at"])
        when = [" ", at(done_ms)] if done_ms is not None else []
        told.append((_word(done["outcome"]).capitalize(), [f"by {done['by']}", *when, f": {done['reason']}"]))
        told.append(("Stands now at", [span("mono", done["to"])] if done["to"] else []))
    said = letter.message or letter.error or "no error is told"
    return [h("details", {"key": "why"}, h("summary", {}, said), facts(told))]


def letter_asks(letter: LetterRow) -> list[Node]:
    """What an operator may do about it: redrive it, and discard it; each a button and its dialog."""
    if letter.state not in STAYS:
        return []
    topic = letter.letter.partition("/")[0]
    redrive = ask(
        "letters redrive",
        f"redrive-{letter.letter}",
        "Redrive",
        "Give this letter back",
        f"The event goes back to its topic, for {letter.service or 'every subscriber'}.",
        {"topic": topic, "letter": letter.letter},
    )
    if letter.state not in TO_DO:
        return redrive
    discard = ask(
        "letter discard",
        f"discard-{letter.letter}",
        "Discard",
        "Leave this event unhandled",
        "No redrive of its group takes it any more. It stays on its topic, and can be redriven by itself.",
        {"letter": letter.letter},
    )
    return [*redrive, *discard]


def jobs_panel(jobs: Iterable[JobRow], groups: LetterGroups | None, role: Role) -> Node | None:
    """Redrives with their progress; `groups` tell how much those of groups have before them."""
    lines = [_job(job, groups or LetterGroups([]), role) for job in jobs]
    return panel("Redrives", *lines, name="redrives") if lines else None


def _job(job: JobRow, groups: LetterGroups, role: Role) -> Node:
    about, progress = letters_of(job), progress_of(job)
    ahead = _ahead(about, progress, groups) if goes_on(job) else 0
    done = progress.get("redriven", 0) + progress.get("parked", 0)
    share = done / (done + ahead) if done + ahead else 1.0 * (not goes_on(job))
    told = [f"{ahead:,} to go"] if ahead else []
    return job_line(job, span("", _about(about)), share, told, may_stop=role >= Role.OPERATOR)


def _ahead(about: Letters, progress: Mapping[str, int], groups: LetterGroups) -> int:
    """How many letters the redrive has before it, as far as the read model knows."""
    if about.letters:
        done = progress.get("redriven", 0) + progress.get("parked", 0) + progress.get("left", 0)
        return max(0, len(about.letters) - done)
    named = ("topic", "service", "type", "error")
    return sum(
        group.to_do
        for group in groups.groups
        if all(getattr(about, name) in (None, getattr(group, name)) for name in named)
    )


def _about(about: Letters) -> str:
    if about.letters:
        return ", ".join(about.letters[:3]) + (" and others" if len(about.letters) > 3 else "")
    parts = [about.service or about.topic, about.type or "", class_name(about.error)]
    return ", ".join(part for part in parts if part)
