"""Bulk jobs: what one is about, and how far it is."""

from sqlalchemy import Connection, or_, select

from tracker.view.model.jobs import ItemState, JobItem, JobRow, JobState, job_items, jobs
from tracker.view.model.search import PAGE_MAX, Order, Wanted, search
from tracker.view.model.shape import stored

__all__ = [
    "ItemState",
    "JobItem",
    "JobRow",
    "JobState",
    "items_of",
    "newest_commands",
    "newest_redrives",
    "one_job",
    "saga_ids",
]


def saga_ids(connection: Connection, wanted: Wanted, limit: int, now_ms: int) -> list[str]:
    """The ids of the sagas that are wanted, the oldest first; so many at most."""
    ids: list[str] = []
    cursor = None
    while len(ids) < limit:
        page = search(connection, wanted, Order.OLDEST, min(PAGE_MAX, limit - len(ids)), now_ms, cursor)
        ids += [row.id for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    return ids


def newest_commands(connection: Connection, since_ms: int, limit: int) -> list[JobRow]:
    """Jobs of commands that go on, or have ended since then; the newest first."""
    c = jobs.c
    recent = or_(c.ended_ms == 0, c.ended_ms >= since_ms)
    query = select(jobs).where(c.action != "redrive", recent).order_by(c.made_ms.desc(), c.id.desc())
    return [JobRow(**row) for row in connection.execute(query.limit(limit)).mappings()]


def newest_redrives(connection: Connection, limit: int) -> list[JobRow]:
    """Jobs that give dead letters back, the newest first."""
    c = jobs.c
    query = select(jobs).where(c.action == "redrive").order_by(c.made_ms.desc(), c.id.desc())
    return [JobRow(**row) for row in connection.execute(query.limit(limit)).mappings()]


def one_job(connection: Connection, job_id: str) -> JobRow | None:
    """The job of this id, if there is one."""
    row = connection.execute(select(jobs).where(jobs.c.id == stored(job_id))).mappings().one_or_none()
    return None if row is None else JobRow(**row)


def items_of(
    connection: Connection, job_id: str, state: ItemState | None, after: int, limit: int
) -> list[JobItem]:
    """Items of a job behind this number, in their order; only those that came to this, unless None."""
    c = job_items.c
    mine = [c.job == stored(job_id), c.number > after, *([c.state == state] if state is not None else [])]
    query = select(job_items).where(*mine).order_by(c.number).limit(limit)
    return [JobItem(**row) for row in connection.execute(query).mappings()]
