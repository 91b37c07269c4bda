"""`saga dlq`: dead letters, listed by what they have in common, shown, redriven, edited, discarded.

Exit codes: 0 done; 1 refused, or there is no such letter; 2 a redrive that ended early.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Container, Sequence, Set
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from msgspec import json as msgspec_json
from rich.table import Table
from uuid_utils import uuid7

from saga.core.delivery import DEAD_LETTERS_PREFIX, dead_letter_topic
from saga.core.errors import SagaError
from saga.runtime.kafka import partition_counts
from saga.runtime.settings import KafkaSettings
from tracker.cli.connection import BootstrapServers, Url, connected, run
from tracker.cli.console import note, output
from tracker.cli.letters import (
    groups_table,
    last_part,
    letter_picture,
    letters_table,
    progress_json,
    progress_text,
)
from tracker.cli.user import user_name
from tracker.core.dead_letter import Place, gave_up, read_place
from tracker.core.redrive import Selection, groups
from tracker.jobs.runner import counts_of
from tracker.runtime.commands import check_who_and_why
from tracker.runtime.letter import discard_letter, edit_letter
from tracker.runtime.redrive import BATCH_MAX, Manner, Progress, redrive
from tracker.view.dead_letters import Standing, read_letters, read_whole_letter
from tracker.view.known import Known
from tracker.view.letters import letter_document, letter_group, letter_row
from tracker.view.queries.dead_letters import LetterGroup, LetterRow

ENDED_EARLY = 2

dlq = typer.Typer(
    no_args_is_help=True,
    help="""Dead letters: what services gave up.

    Example: saga dlq list, then saga dlq redrive payments --reason "the provider is back"
    """,
)

_Letter = Annotated[
    str,
    typer.Argument(metavar="LETTER", help="topic/partition/offset, such as payments/0/17 without saga.dlq."),
]
_Service = Annotated[str | None, typer.Option(help="Only those that this service gave up.")]
_Type = Annotated[str | None, typer.Option("--type", help="Only events of this type.")]
_Error = Annotated[
    str | None, typer.Option(help="Only those with this error: the class, or its last part, as it is listed.")
]
_Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
_By = Annotated[
    str | None,
    typer.Option(
        help="Who asks. With --url it is whose token it is.",
        envvar="SAGA_BY",
        show_default="your user name on this machine",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


class NotALetter(SagaError):
    """What was typed names no letter, or no topic. The message says how to."""


@dlq.command("list")
def list_(
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC]...", help="Only these topics or services. Without any saga.dlq.*"),
    ] = None,
    letters: Annotated[bool, typer.Option("--letters", help="Each letter, and not the groups.")] = False,
    service: _Service = None,
    event_type: _Type = None,
    error: _Error = None,
    limit: Annotated[int, typer.Option(min=0, help="Show so many at most; 0 shows all.")] = 20,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """List dead letters by service, event type and error: how many there are, and how many wait.

    Topics of other frameworks (Kafka Streams, Spring, Connect, Wolverine) are read as well: name them.

    Example: saga dlq list --letters --service payments
    """
    run(_list(bootstrap_servers, url, topics or [], letters, (service, event_type, error), limit, as_json))


@dlq.command()
def show(
    letter: _Letter,
    unmask: Annotated[
        str, typer.Option(help="With --url: why all of the payload has to be seen; it is kept.")
    ] = "",
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Show one dead letter: why it was given up, its headers, its payload.

    Whoever reads Kafka sees all of it. With --url the server masks what the schema of the event marks.

    Example: saga dlq show payments/0/17
    """
    run(_show(bootstrap_servers, url, letter, unmask, as_json))


@dlq.command("redrive")
def redrive_command(
    what: Annotated[
        list[str],
        typer.Argument(metavar="TOPIC | LETTER...", help="A topic or service: all its letters. Or letters."),
    ],
    reason: _Reason,
    service: _Service = None,
    event_type: _Type = None,
    error: _Error = None,
    batch_limit: Annotated[
        int, typer.Option(min=1, max=BATCH_MAX, help="Batches grow from one letter up to so many.")
    ] = 64,
    rate: Annotated[float, typer.Option(min=0.01, help="Letters a second at most.")] = 100.0,
    failed_max: Annotated[
        float, typer.Option(min=0, max=1, help="Stop when a greater share of the last batch failed again.")
    ] = 0.2,
    replays_max: Annotated[
        int, typer.Option(min=1, help="Park what came back so often, unless you name the letter.")
    ] = 3,
    wait: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait for the answers to a batch; 0: not at all."),
    ] = 30.0,
    service_for: Annotated[
        str | None,
        typer.Option(
            "--for", help="The service that gets them; '' for all.", show_default="who gave them up"
        ),
    ] = None,
    by: _By = None,
    as_json: _Json = False,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Put dead letters back on their topics, for the service that gave them up and nobody else.

    In growing batches, each of which waits for the answers to the one before. Ctrl-C ends it behind a
    batch; whatever ended it, give it again and it goes on: no letter goes back twice. With --url it is a job
    of the server, which goes on without this command: see saga jobs.

    Example: saga dlq redrive payments --type stock.reserved --reason "the provider is back"
    """
    manner = Manner(
        by or user_name(),
        reason,
        str(uuid7()),
        batch_limit,
        rate,
        failed_max,
        replays_max,
        wait,
        service_for,
    )
    run(_redrive(bootstrap_servers, url, what, (service, event_type, error), manner, as_json))


@dlq.command()
def edit(
    letter: _Letter,
    payload: Annotated[Path, typer.Option(help="A file with the new payload, JSON; - for standard input.")],
    reason: _Reason,
    by: _By = None,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Give a dead letter another payload, with which it is redriven then. The letter itself stays as it is.

    Example: saga dlq edit payments/0/17 --payload mended.json --reason "amount was a text"
    """
    run(_edit(bootstrap_servers, url, letter, payload, by or user_name(), reason))


@dlq.command()
def discard(
    letters: Annotated[list[str], typer.Argument(metavar="LETTER...", help="As list --letters has them.")],
    reason: _Reason,
    by: _By = None,
    bootstrap_servers: BootstrapServers = None,
    url: Url = None,
) -> None:
    """Say that dead letters are not to be redriven. They stay where they are, and can still be named.

    Example: saga dlq discard payments/0/17 --reason "the order was cancelled by phone"
    """
    run(_discard(bootstrap_servers, url, letters, by or user_name(), reason))


Wanted = tuple[str | None, str | None, str | None]
"""Service, type and error of a letter; None: any."""


class Found(NamedTuple):
    """Groups, or letters, the newest last; how many there are in all; topics that do not exist.

    `topics`: whether there is any dead-letter topic.
    """

    told: list[LetterGroup] | list[LetterRow]
    total: int
    missing: tuple[str, ...] = ()
    topics: bool = True


async def _list(
    servers: str | None,
    url: str | None,
    topics: list[str],
    each: bool,
    wanted: Wanted,
    limit: int,
    as_json: bool,
) -> int:
    # Programs get all of it.
    shown = sys.maxsize if as_json or not limit else limit
    if url:
        from tracker.cli.remote_letters import find_letters  # aiohttp takes its time to import

        found = await find_letters(url, topics, each, wanted, shown)
    else:
        found = await _find(servers, topics, each, wanted, shown)
    if as_json:
        print(msgspec_json.format(msgspec_json.encode(found.told)).decode())
    elif not found.told:
        note("no dead letters" if found.topics else "there is no dead-letter topic")
    else:
        output().print(_table(found.told, time.time_ns() // 1_000_000))
        if found.total > len(found.told):
            note(f"{len(found.told):,} of {found.total:,} are listed: --limit 0 lists all")
    for topic in found.missing:
        note(f"there is no topic {topic}")
    return 1 if found.missing else 0


def _table(told: list[LetterGroup] | list[LetterRow], now_ms: int) -> Table:
    letters = [each for each in told if isinstance(each, LetterRow)]
    if letters:
        return letters_table(letters, now_ms)
    return groups_table([each for each in told if isinstance(each, LetterGroup)], now_ms)


async def _find(servers: str | None, topics: list[str], each: bool, wanted: Wanted, shown: int) -> Found:
    settings = await connected(servers)
    read = await read_letters(settings, await _topics(settings, topics))
    rest = read.missing, bool(read.topics)
    found = [standing for standing in read.found if _has(standing, wanted)]
    if each:
        return Found([letter_row(standing) for standing in found[-shown:]], len(found), *rest)
    in_all = groups((standing.letter, standing.state) for standing in found)
    return Found([letter_group(group) for group in in_all[:shown]], len(in_all), *rest)


async def _show(servers: str | None, url: str | None, text: str, unmask: str, as_json: bool) -> int:
    if url:
        from tracker.cli.remote_letters import show_letter  # aiohttp takes its time to import

        told = await show_letter(url, text, unmask)
    else:
        settings = await connected(servers)
        [place] = await _places(settings, [text])
        told = letter_document(await read_whole_letter(settings, place), Known(), unmask=True)
    if as_json:
        print(msgspec_json.format(msgspec_json.encode(told)).decode())
    else:
        output().print(letter_picture(told))
    return 0


async def _redrive(
    servers: str | None, url: str | None, what: list[str], wanted: Wanted, manner: Manner, as_json: bool
) -> int:
    check_who_and_why(manner.by, manner.reason)
    if url:
        from tracker.cli.remote_letters import redrive_letters  # aiohttp takes its time to import

        return await redrive_letters(url, what, wanted, manner, as_json)
    settings = await connected(servers)
    selection = await _selection(settings, what, wanted)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)

    async def told(progress: Progress) -> None:
        note(progress_text(counts_of(progress)))

    progress = await redrive(settings, selection, manner, told, stop)
    if as_json:
        told_json = progress_json(progress, manner.batch)
        print(msgspec_json.format(msgspec_json.encode(told_json)).decode())
    else:
        output().print(progress_text(counts_of(progress)))
        for why, count in sorted(progress.left.items()):
            output().print(f"{count:,} left as they are: {why}", markup=False)
    return tell_stopped(progress.stopped)


def tell_stopped(why: str) -> int:
    """Say why a redrive ended early, if it did; the exit code."""
    if not why:
        return 0
    note(f"saga: stopped: {why}. Give the same command again to go on")
    return ENDED_EARLY


async def _edit(servers: str | None, url: str | None, text: str, payload: Path, by: str, reason: str) -> int:
    check_who_and_why(by, reason)
    value = await asyncio.to_thread(_read, payload)
    if url:
        from tracker.cli.remote_letters import edit_payload  # aiohttp takes its time to import

        letter = await edit_payload(url, text, value, reason)
    else:
        settings = await connected(servers)
        [place] = await _places(settings, [text])
        await edit_letter(settings, place, value, by, reason)
        letter = str(place)
    output().print(f"{letter} has a new payload: `saga dlq redrive {letter}` takes it back to its topic")
    return 0


def _read(payload: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(payload) == "-" else payload.read_bytes()
    except OSError as error:
        raise NotALetter(f"{payload} can't be read: {error.strerror}") from error


async def _discard(servers: str | None, url: str | None, texts: list[str], by: str, reason: str) -> int:
    check_who_and_why(by, reason)
    if url:
        from tracker.cli.remote_letters import discard_letters  # aiohttp takes its time to import

        async for letter in discard_letters(url, texts, reason):
            output().print(f"{letter} is discarded")
        return 0
    settings = await connected(servers)
    for place in await _places(settings, texts):
        await discard_letter(settings, place, by, reason)
        output().print(f"{place} is discarded")
    return 0


async def _selection(settings: KafkaSettings, what: list[str], wanted: Wanted) -> Selection:
    service, event_type, error = wanted
    if names_letters(what):
        places = await _places(settings, what)
        return Selection(one_topic({place.topic for place in places}), tuple(places))
    [topic] = await _topics(settings, what)
    return Selection(topic, (), service, event_type, error and await _whole_error(settings, topic, error))


def names_letters(what: Sequence[str]) -> bool:
    """Whether letters are named, or one topic.

    Raises
    ------
    NotALetter
        Several topics are.
    """
    if any("/" in text for text in what):
        return True
    if len(what) > 1:
        raise NotALetter("give one topic: what fails there says whether to go on with another")
    return False


def one_topic(topics: Set[str]) -> str:
    """The one that all letters are of."""
    if len(topics) > 1:
        raise NotALetter("give letters of one topic: what fails there says whether to go on with another")
    return next(iter(topics))


async def _whole_error(settings: KafkaSettings, topic: str, text: str) -> str:
    """The error as the letters have it, of which the list shows the last part."""
    names = {standing.letter.error for standing in (await read_letters(settings, [topic])).found}
    return whole_error(names, text)


def whole_error(names: Set[str], text: str) -> str:
    """The one of these that is meant by its last part, or the text itself."""
    matches = [name for name in names if last_part(name) == text]
    if text not in names and len(matches) > 1:
        raise NotALetter(f"{text} may be {' or '.join(sorted(matches))}: give the whole name")
    return matches[0] if text not in names and matches else text


def _has(standing: Standing, wanted: Wanted) -> bool:
    letter = standing.letter
    service, event_type, error = wanted
    return (
        service in (None, gave_up(letter.service, letter.at.topic))
        and event_type in (None, letter.type)
        and error in (None, letter.error, last_part(letter.error))
    )


async def _topics(settings: KafkaSettings, texts: Sequence[str]) -> list[str]:
    """Topics by what was typed, see `topic_of`."""
    existing = await partition_counts(settings, {*texts, *map(dead_letter_topic, texts)})
    return [topic_of(text, existing) for text in texts]


def topic_of(text: str, existing: Container[str]) -> str:
    """The topic that was typed: `payments` is `saga.dlq.payments`, unless only the one is among these."""
    full = dead_letter_topic(text)
    return (
        text if text.startswith(DEAD_LETTERS_PREFIX) or (text in existing and full not in existing) else full
    )


async def _places(settings: KafkaSettings, texts: Sequence[str]) -> list[Place]:
    """Letters by what was typed."""
    found = [place_of(text) for text in texts]
    topics = await _topics(settings, [place.topic for place in found])
    return [place._replace(topic=topic) for place, topic in zip(found, topics, strict=True)]


def place_of(text: str) -> Place:
    """Where the letter stands that was typed; its topic as it was typed.

    Raises
    ------
    NotALetter
        It is none.
    """
    place = read_place(text)
    if place is None:
        raise NotALetter(f"{text} names no letter: payments/0/17 would, topic/partition/offset")
    return place
