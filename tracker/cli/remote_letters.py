"""Dead letters as the API of a `saga dashboard` tells them, and what is done about them there."""

from collections.abc import AsyncIterator, Sequence

from msgspec import DecodeError, Raw, Struct, json

from tracker.cli.console import output
from tracker.cli.dlq import (
    Found,
    NotALetter,
    Wanted,
    names_letters,
    one_topic,
    place_of,
    tell_stopped,
    topic_of,
    whole_error,
)
from tracker.cli.letters import last_part, progress_text
from tracker.cli.remote import Remote, remote, segment
from tracker.cli.remote_freshness import tell_stale
from tracker.cli.remote_jobs import followed
from tracker.core.dead_letter import Place
from tracker.jobs.document import JobDocument
from tracker.runtime.redrive import Manner
from tracker.view.letters import LetterDocument
from tracker.view.queries.dead_letters import LetterGroup, LetterGroups, LetterPage, LetterRow

_PAGE = 500
_LETTERS_MAX = 1_000


class _Done(Struct):
    """What matters here of a treatment."""

    letter: str


async def find_letters(url: str, topics: Sequence[str], each: bool, wanted: Wanted, shown: int) -> Found:
    """Groups, or the newest letters with the oldest of them first."""
    async with remote(url) as server:
        await tell_stale(server)
        groups = await _groups(server)
        names = {_topic(text, groups) for text in topics}
        groups = [group for group in groups if (not names or group.topic in names) and _has(group, wanted)]
        if not each:
            return Found(groups[:shown], len(groups))
        total = sum(group.letters for group in groups)
        letters: list[LetterRow] = []
        async for letter in _letters(server, names, wanted, min(shown, _PAGE)):
            if len(letters) == shown:
                break
            letters.append(letter)
        return Found(letters[::-1], total)


async def show_letter(url: str, text: str, unmask: str) -> LetterDocument:
    """One letter; all of its payload if `unmask` says why."""
    async with remote(url) as server:
        path = await _path(server, text)
        if unmask:
            return await server.post(f"{path}/payload", LetterDocument, {"reason": unmask})
        return await server.get(path, LetterDocument)


async def redrive_letters(
    url: str, what: Sequence[str], wanted: Wanted, manner: Manner, as_json: bool
) -> int:
    """Have the server redrive letters, and tell its progress; the exit code."""
    service, event_type, error = wanted
    async with remote(url) as server:
        groups = await _groups(server)
        letters: dict[str, object] = {
            "batch_limit": manner.limit,
            "failed_max": manner.failed_max,
            "replays_max": manner.replays_max,
            "wait_seconds": manner.wait_seconds,
            "service_for": manner.service,
        }
        if names_letters(what):
            places = [_place(text, groups) for text in what]
            if len(places) > _LETTERS_MAX:
                raise NotALetter(f"with --url name {_LETTERS_MAX:,} letters at most, or their topic")
            letters |= {
                "topic": one_topic({place.topic for place in places}),
                "letters": list(map(str, places)),
            }
        else:
            topic = _topic(what[0], groups)
            errors = {group.error for group in groups if group.topic == topic}
            letters |= {"topic": topic, "service": service, "type": event_type}
            letters["error"] = error and whole_error(errors, error)
        wish = {"action": "redrive", "reason": manner.reason, "letters": letters, "rate": manner.rate}
        job = await followed(server, await server.post("jobs", JobDocument, wish))
    if as_json:
        print(json.format(json.encode(job)).decode())
    else:
        output().print(progress_text(job.progress))
        if job.progress.get("left"):
            output().print(f"{job.progress['left']:,} left as they are")
    return tell_stopped(job.message or ("it was aborted" if job.state == "aborted" else ""))


async def edit_payload(url: str, text: str, payload: bytes, reason: str) -> str:
    """Give a letter another payload; the name of the letter."""
    try:
        json.decode(payload)
    except (DecodeError, UnicodeDecodeError) as error:
        raise NotALetter(f"the new payload is no JSON: {error}") from error
    async with remote(url) as server:
        path = await _path(server, text)
        # As it was written: numbers that JSON has and Python has not stay what they are.
        wish = {"reason": reason, "payload": Raw(payload)}
        return (await server.post(f"{path}/edit", _Done, wish)).letter


async def discard_letters(url: str, texts: Sequence[str], reason: str) -> AsyncIterator[str]:
    """Discard letters one by one; the name of each that is."""
    async with remote(url) as server:
        groups = await _groups(server)
        for place in [_place(text, groups) for text in texts]:
            done = await server.post(f"{_path_of(place)}/discard", _Done, {"reason": reason})
            yield done.letter


async def _groups(server: Remote) -> list[LetterGroup]:
    return (await server.get("dead-letters/groups", LetterGroups)).groups


async def _letters(server: Remote, topics: set[str], wanted: Wanted, size: int) -> AsyncIterator[LetterRow]:
    """The newest first."""
    service, event_type, error = wanted
    asked = {"service": service, "type": event_type, "limit": max(1, size)}
    if len(topics) == 1:
        asked["topic"] = next(iter(topics))
    after: str | None = None
    while True:
        page = await server.get("dead-letters", LetterPage, {**asked, "after": after})
        for letter in page.letters:
            topic = letter.letter.partition("/")[0]
            if (not topics or topic in topics) and error in (None, letter.error, last_part(letter.error)):
                yield letter
        after = page.next
        if after is None:
            return


def _has(group: LetterGroup, wanted: Wanted) -> bool:
    service, event_type, error = wanted
    return (
        service in (None, group.service)
        and event_type in (None, group.type)
        and error in (None, group.error, last_part(group.error))
    )


async def _path(server: Remote, text: str) -> str:
    return _path_of(_place(text, await _groups(server)))


def _path_of(place: Place) -> str:
    return f"dead-letters/{segment(place.topic)}/{place.partition}/{place.offset}"


def _place(text: str, groups: Sequence[LetterGroup]) -> Place:
    place = place_of(text)
    return place._replace(topic=_topic(place.topic, groups))


def _topic(text: str, groups: Sequence[LetterGroup]) -> str:
    return topic_of(text, {group.topic for group in groups})
