"""Jobs as programs are told of them."""

from typing import Any, cast

from msgspec import Struct, json

from tracker.jobs.job import JobAction
from tracker.view.documents.moment import timestamp
from tracker.view.model.jobs import ItemState, JobItem, JobRow, JobState


class JobDocument(Struct, frozen=True):
    """A job: what was asked for, and how far it is."""

    id: str
    action: JobAction
    by: str
    reason: str
    made: str
    state: JobState
    aborting: bool
    total: int | None
    progress: dict[str, int]
    message: str
    ended: str | None
    about: dict[str, Any]


class JobsDocument(Struct, frozen=True):
    """Jobs, the newest first."""

    jobs: list[JobDocument]


class JobItemDocument(Struct, frozen=True):
    """What one saga of a job came to."""

    number: int
    saga: str
    state: ItemState
    message: str


class JobItemsDocument(Struct, frozen=True):
    """Items of a job in their order; `next` is what to ask for behind the last of them."""

    items: list[JobItemDocument]
    next: int | None


def job_document(job: JobRow) -> JobDocument:
    """A job for programs."""
    return JobDocument(
        job.id,
        cast(JobAction, job.action),
        job.by,
        job.reason,
        timestamp(job.made_ms),
        job.state,
        job.aborting,
        None if job.total < 0 else job.total,
        json.decode(job.progress, type=dict[str, int]),
        job.message,
        timestamp(job.ended_ms) if job.ended_ms else None,
        json.decode(job.about, type=dict[str, Any]),
    )


def item_document(item: JobItem) -> JobItemDocument:
    """An item for programs."""
    return JobItemDocument(item.number, item.saga, item.state, item.message)
