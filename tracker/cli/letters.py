"""Dead letters for people and for programs."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import json as msgspec_json
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from saga.core.delivery import DEAD_LETTERS_PREFIX
from tracker.cli.moment import date_and_time
from tracker.core.redrive import TO_DO
from tracker.core.words import plural
from tracker.runtime.redrive import Progress
from tracker.view.documents.moment import read_timestamp
from tracker.view.documents.payload import PayloadDocument
from tracker.view.duration import human
from tracker.view.letters import LetterDocument
from tracker.view.queries.dead_letters import LetterGroup, LetterRow

STATE_STYLES: dict[str, str] = {
    "waiting": "yellow",
    "edited": "yellow",
    "redriven": "cyan",
    "succeeded": "green",
    "ignored": "",
    "failed-again": "red",
    "parked": "bold red",
    "discarded": "",
}
_HEARD = {
    "succeeded": "succeeded",
    "ignored": "ignored",
    "failed-again": "failed again",
    "retrying": "being tried again",
    "unanswered": "not answered yet",
}
_MESSAGE_LENGTH_MAX = 60
_UNKNOWN = "-"


def groups_table(groups: Sequence[LetterGroup], now_ms: int) -> Table:
    """A line a group."""
    table = _table("TOPIC", "SERVICE", "TYPE", "ERROR")
    for heading in ("LETTERS", "TO DO"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("OLDEST", "NEWEST"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("OTHERS")
    for group in groups:
        others = {stands: count for stands, count in group.states.items() if stands not in TO_DO}
        table.add_row(
            group.topic,
            Text(group.service or _UNKNOWN),
            Text(group.type or _UNKNOWN),
            Text(last_part(group.error) or _UNKNOWN),
            f"{group.letters:,}",
            Text(f"{group.to_do:,}", style="yellow" if group.to_do else ""),
            human(now_ms - read_timestamp(group.oldest)),
            human(now_ms - read_timestamp(group.newest)),
            ", ".join(f"{count:,} {stands}" for stands, count in sorted(others.items())),
        )
    return table


def letters_table(letters: Sequence[LetterRow], now_ms: int) -> Table:
    """A line a letter."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    table.add_column("AGE", justify="right", no_wrap=True)
    for heading in ("LETTER", "STATE", "TYPE", "TRIED", "BACK"):
        table.add_column(heading, no_wrap=True)
    table.add_column("ERROR")
    for letter in letters:
        message = " ".join(letter.message.split())[:_MESSAGE_LENGTH_MAX]
        table.add_row(
            human(now_ms - read_timestamp(letter.given_up)),
            letter.letter.removeprefix(DEAD_LETTERS_PREFIX),
            Text(letter.state, style=STATE_STYLES.get(letter.state, "")),
            Text(letter.type or _UNKNOWN),
            _UNKNOWN if letter.attempts is None else f"{letter.attempts}x",
            f"{letter.replays}x" if letter.replays else "",
            Text(": ".join(part for part in (last_part(letter.error), message) if part)),
        )
    return table


def letter_picture(letter: LetterDocument) -> RenderableType:
    """All of one letter."""
    style = STATE_STYLES.get(letter.state, "")
    given_up = date_and_time(letter.given_up)
    head = Text.assemble((letter.letter, "bold"), "  ", (letter.state, style), f"  {given_up}")
    lines: list[RenderableType] = [head, _pairs(_facts(letter))]
    if letter.done is not None:
        lines += [Text("\nwhat was done"), _pairs({name: text for name, text in letter.done.items() if text})]
    lines += [
        Text("\nheaders"),
        _pairs({name: value or "" for name, value in letter.headers if _is_short(name)}),
    ]
    if letter.stack:
        lines += [Text("\nstack"), Text(letter.stack.rstrip())]
    lines += [Text("\npayload"), *_payload(letter.payload)]
    if letter.edited is not None:
        lines += [Text("\nedited, and redriven so"), *_payload(letter.edited)]
    return Lines(*lines)


def progress_text(counts: Mapping[str, int]) -> str:
    """How far a redrive is, in a line; by the names of `counts_of`."""
    parts = [f"{counts.get('redriven', 0):,} redriven"]
    parts += [f"{counts[what]:,} {words}" for what, words in _HEARD.items() if counts.get(what)]
    if counts.get("parked"):
        parts.append(f"{counts['parked']:,} parked")
    return ", ".join(parts)


def progress_json(progress: Progress, batch: str) -> dict[str, object]:
    """How a redrive ended."""
    return {
        "batch": batch,
        "redriven": progress.redriven,
        "heard": {what or "nothing": count for what, count in progress.heard.items()},
        "parked": progress.parked,
        "left": dict(progress.left),
        "stopped": progress.stopped,
    }


def _facts(letter: LetterRow) -> dict[str, str]:
    came_back = f"{plural(letter.replays, 'time')}, last by redrive {letter.batch}"
    facts = {
        "event": f"{letter.type} {letter.event}".strip(),
        "saga": letter.saga,
        "stood at": letter.original,
        "given up by": ".".join(part for part in (letter.service, letter.handler) if part),
        "attempts": "" if letter.attempts is None else str(letter.attempts),
        "first failed": date_and_time(letter.first_failed or ""),
        "came back": came_back if letter.replays else "",
        "error": letter.error,
        "message": letter.message,
    }
    return {name: text for name, text in facts.items() if text}


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _pairs(texts: Mapping[str, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in texts.items():
        table.add_row(f"  {name}", Text(text))
    return table


def _is_short(header: str) -> bool:
    # The stack is shown by itself, and so is the payload that was there before.
    return not header.endswith(("stacktrace", "exception-stack"))


def _payload(payload: PayloadDocument) -> Iterator[Text]:
    match payload.form:
        case "none":
            yield Text("none (a null value)")
        case "text":
            yield Text(str(payload.payload))
        case "json":
            yield Text(msgspec_json.format(msgspec_json.encode(payload.payload)).decode())
    if payload.masked:
        why = "by the schema of its event" if payload.schema_known else "as no schema of its event is known"
        yield Text(f"masked {why}: --unmask tells all of it", style="yellow")


def last_part(error: str) -> str:
    """The class without its module."""
    return error.rpartition(".")[2]
