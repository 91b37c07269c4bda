"""Jobs as the API of a `saga dashboard` tells them, for people and for programs."""

import asyncio
import signal
from collections.abc import Mapping, Sequence

from msgspec import json as msgspec_json
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from saga.core.errors import SagaError
from tracker.cli.console import note, output
from tracker.cli.moment import date_and_time
from tracker.cli.remote import Refused, Remote, remote, segment
from tracker.cli.rows import short_id
from tracker.jobs.document import JobDocument, JobItemDocument, JobItemsDocument, JobsDocument

_LOOK_SECONDS = 0.5
_LOOKED_AT = 1_000
_ITEMS_SHOWN = 20
_ID_SHOWN = 12
_STYLES = {"running": "cyan", "waiting": "yellow", "failed": "red", "aborted": "magenta", "done": "green"}
_ENDED = ("done", "aborted", "failed")


class NoServer(SagaError):
    """Jobs are the server's, and none is named. Give its URL."""


class UnknownJob(SagaError):
    """No job, or more than one, is meant. The message says how to find it."""


async def list_(url: str | None, limit: int, as_json: bool) -> int:
    """Print the newest."""
    async with remote(_server(url)) as server:
        found = await server.get("jobs", JobsDocument, {"limit": limit})
    if as_json:
        _print_json(found.jobs)
    elif found.jobs:
        output().print(jobs_table(found.jobs))
    else:
        note("there is no job")
    return 0


async def show(url: str | None, name: str, follow: bool, as_json: bool) -> int:
    """Print one; with `follow` its progress first, until it has ended."""
    async with remote(_server(url)) as server:
        job = await _meant(server, name)
        if follow:
            job = await followed(server, job)
        left = await _not_accepted(server, job)
    if as_json:
        _print_json(job)
    else:
        output().print(job_picture(job, left))
    return 0


async def change(url: str | None, name: str, how: str, words: str) -> int:
    """Have one `abort` or `resume`."""
    async with remote(_server(url)) as server:
        job = await _meant(server, name)
        job = await server.post(f"jobs/{segment(job.id)}/{how}", JobDocument)
    output().print(Text(f"{job.action} {job.id} {words}"))
    return 0


async def followed(server: Remote, job: JobDocument) -> JobDocument:
    """The job when it has ended; its progress is told meanwhile. Ctrl-C aborts it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    told = ""
    try:
        while True:
            if told != (told := _line(job)):
                note(told)
            if job.state in _ENDED:
                return job
            if stop.is_set() and not job.aborting:
                job = await _aborted(server, job)
                continue
            await _waited(stop if not job.aborting else asyncio.Event())
            job = await server.get(f"jobs/{segment(job.id)}", JobDocument)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _aborted(server: Remote, job: JobDocument) -> JobDocument:
    try:
        return await server.post(f"jobs/{segment(job.id)}/abort", JobDocument)
    except Refused as error:
        if error.name != "job-ended":
            raise
        return await server.get(f"jobs/{segment(job.id)}", JobDocument)


async def _waited(stop: asyncio.Event) -> None:
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({waiting}, timeout=_LOOK_SECONDS)
    waiting.cancel()


async def _meant(server: Remote, name: str) -> JobDocument:
    name = name.removeprefix("…")
    try:
        return await server.get(f"jobs/{segment(name)}", JobDocument)
    except Refused as error:
        if error.name != "unknown-job":
            raise
    newest = (await server.get("jobs", JobsDocument, {"limit": _LOOKED_AT})).jobs
    found = [job for job in newest if job.id.startswith(name) or job.id.endswith(name)]
    if len(found) == 1:
        return found[0]
    many = (
        f"{len(found)} jobs are meant by {name}: give more of the id" if found else f"there is no job {name}"
    )
    raise UnknownJob(f"{many}; `saga jobs list` shows them")


async def _not_accepted(server: Remote, job: JobDocument) -> list[JobItemDocument]:
    """The first of the sagas that the tracker refused, or said nothing about."""
    if job.action == "redrive":
        return []
    found: list[JobItemDocument] = []
    for state in ("refused", "unanswered"):
        items = await server.get(
            f"jobs/{segment(job.id)}/items", JobItemsDocument, {"state": state, "limit": _ITEMS_SHOWN}
        )
        found += items.items
    return found[:_ITEMS_SHOWN]


def jobs_table(jobs: Sequence[JobDocument]) -> Table:
    """A line a job."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for heading in ("ID", "BEGUN", "ACTION", "STATE", "BY"):
        table.add_column(heading, no_wrap=True)
    table.add_column("PROGRESS")
    table.add_column("REASON", overflow="ellipsis", no_wrap=True)
    for job in jobs:
        table.add_row(
            short_id(job.id, _ID_SHOWN),
            date_and_time(job.made),
            job.action,
            Text(job.state, style=_STYLES[job.state]),
            Text(job.by),
            progress_words(job),
            Text(job.reason),
        )
    return table


def job_picture(job: JobDocument, left: Sequence[JobItemDocument]) -> RenderableType:
    """All of one job."""
    head = Text.assemble(
        (job.action, "bold"), f"  {job.id}  ", (job.state, _STYLES[job.state]), f"  {progress_words(job)}"
    )
    lines = [head, Text(f"begun {date_and_time(job.made)} by {job.by}: {job.reason}")]
    if job.ended is not None:
        lines.append(Text(f"ended {date_and_time(job.ended)}"))
    if job.message:
        lines.append(Text(job.message, style=_STYLES["failed"]))
    lines.append(Text(f"about {_about(job.about)}"))
    if not left:
        return Group(*lines)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for item in left:
        table.add_row(Text(f"  {item.saga}"), item.state, Text(item.message))
    return Group(*lines, Text("\nnot accepted"), table)


def progress_words(job: JobDocument) -> str:
    """`40 of 1,200: 39 accepted, 1 refused`; of a redrive `12 redriven, 11 succeeded`."""
    counts = [f"{count:,} {what}" for what, count in job.progress.items() if count and what != "waiting"]
    words = ", ".join(counts)
    if job.total is None or job.action == "redrive":
        return words
    settled = sum(count for what, count in job.progress.items() if what != "waiting")
    return f"{settled:,} of {job.total:,}" + (f": {words}" if words else "")


def _line(job: JobDocument) -> str:
    words = progress_words(job)
    standing = "ending" if job.aborting and job.state not in _ENDED else job.state
    return f"{job.action} {standing}" + (f": {words}" if words else "")


def _about(about: Mapping[str, object]) -> str:
    search = about.get("search")
    told = search if isinstance(search, Mapping) else about
    words = ", ".join(f"{name} {value}" for name, value in told.items() if value not in (None, "", []))
    return words or "sagas that were named"


def _print_json(told: object) -> None:
    print(msgspec_json.format(msgspec_json.encode(told)).decode())


def _server(url: str | None) -> str:
    if not url:
        raise NoServer("jobs are worked on by the server of the dashboard: give its --url, or set SAGA_URL")
    return url
