"""Bulk jobs and their items: not made from Kafka, so a rebuild leaves them alone. All of it blocks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal

from msgspec import Struct, structs
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Table,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from tracker.view.model.shape import stored
from tracker.view.model.tables import TEXT, metadata

JOBS_KEPT = 1_000
_ROWS_MAX = 5_000

JobState = Literal["waiting", "running", "done", "aborted", "failed"]
ItemState = Literal["waiting", "accepted", "refused", "unanswered"]

jobs = Table(
    "jobs",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("action", TEXT, nullable=False),
    Column("by", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("about", TEXT, nullable=False),
    Column("rate", Float, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("progress", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    Column("aborting", Boolean, nullable=False),
    Column("runner", TEXT, nullable=False),
    Column("lease_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Index("jobs_made", "made_ms", "id"),
    Index("jobs_state", "state", "made_ms"),
)

job_items = Table(
    "job_items",
    metadata,
    Column("job", TEXT, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("saga", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    Index("job_items_state", "job", "state", "number"),
)


class JobRow(Struct, frozen=True):
    """A job.

    Attributes
    ----------
    action : of a command, or `redrive`.
    about : JSON: what of; `tracker.jobs.job` reads it.
    rate : items a second at most.
    total : how many items; -1 where that is not known before.
    progress : JSON: how many items came to what.
    message : why it failed, or ended early.
    aborting : somebody wants it to end.
    runner, lease_ms : who works on it, until when unless they say so again.
    """

    id: str
    action: str
    by: str
    reason: str
    about: str
    rate: float
    made_ms: int
    state: JobState = "waiting"
    total: int = -1
    progress: str = "{}"
    message: str = ""
    aborting: bool = False
    runner: str = ""
    lease_ms: int = 0
    ended_ms: int = 0


class JobItem(Struct, frozen=True):
    """One saga of a job, and what the tracker answered."""

    job: str
    number: int
    saga: str
    state: ItemState = "waiting"
    message: str = ""


class JobStore:
    """The two tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, job: JobRow, sagas: Iterable[str]) -> JobRow:
        """Write a job with an item for each of these sagas, and its total unless it has none.

        Of the jobs that have ended the newest `JOBS_KEPT` are kept.
        """
        with self._engine.begin() as connection:
            total = 0
            for some in _chunks(JobItem(job.id, number, stored(saga)) for number, saga in enumerate(sagas)):
                total += len(some)
                connection.execute(insert(job_items), [structs.asdict(item) for item in some])
            written = structs.replace(job, total=total or job.total)
            connection.execute(insert(jobs), structs.asdict(written))
            _forget(connection)
        return written

    def job(self, id_: str) -> JobRow | None:
        """The one of this id, if there is one."""
        with self._engine.connect() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == id_)).mappings().one_or_none()
        return None if row is None else JobRow(**row)

    def newest(self, limit: int) -> list[JobRow]:
        """The newest first."""
        query = select(jobs).order_by(jobs.c.made_ms.desc(), jobs.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [JobRow(**row) for row in connection.execute(query).mappings()]

    def items(self, id_: str, after: int, limit: int, state: ItemState | None = None) -> list[JobItem]:
        """Items behind this number in their order."""
        mine = [job_items.c.job == id_, job_items.c.number > after]
        if state is not None:
            mine.append(job_items.c.state == state)
        query = select(job_items).where(*mine).order_by(job_items.c.number).limit(limit)
        with self._engine.connect() as connection:
            return [JobItem(**row) for row in connection.execute(query).mappings()]

    def counts(self, id_: str) -> dict[str, int]:
        """How many items are in each state."""
        c = job_items.c
        query = select(c.state, func.count()).where(c.job == id_).group_by(c.state)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def abort(self, id_: str, now_ms: int) -> bool:
        """Have a job end; whether there was one that had not."""
        c = jobs.c
        with self._engine.begin() as connection:
            waiting = update(jobs).where(c.id == id_, c.state == "waiting")
            if connection.execute(waiting.values(state="aborted", ended_ms=now_ms, aborting=True)).rowcount:
                return True
            running = update(jobs).where(c.id == id_, c.state == "running")
            return connection.execute(running.values(aborting=True)).rowcount == 1

    def resume(self, id_: str) -> bool:
        """Have a job go on that was aborted or has failed; whether there was one."""
        c = jobs.c
        with self._engine.begin() as connection:
            ended = update(jobs).where(c.id == id_, c.state.in_(["aborted", "failed"]))
            again = ended.values(state="waiting", aborting=False, message="", ended_ms=0)
            return connection.execute(again).rowcount == 1

    def claim(self, runner: str, now_ms: int, lease_ms: int) -> JobRow | None:
        """The oldest job that nobody works on: it is this runner's for so long."""
        c = jobs.c
        free = or_(c.state == "waiting", (c.state == "running") & (c.lease_ms < now_ms))
        oldest = select(c.id).where(free).order_by(c.made_ms, c.id).limit(1)
        with self._engine.begin() as connection:
            id_ = connection.scalar(oldest)
            if id_ is None:
                return None
            mine = update(jobs).where(c.id == id_, free)
            taken = mine.values(state="running", runner=runner, lease_ms=now_ms + lease_ms)
            if connection.execute(taken).rowcount != 1:
                return None
            return JobRow(**connection.execute(select(jobs).where(c.id == id_)).mappings().one())

    def keep(self, id_: str, runner: str, until_ms: int, progress: str) -> bool | None:
        """Say that the runner still works on it; None if it is no longer its job, else whether to go on."""
        c = jobs.c
        with self._engine.begin() as connection:
            mine = update(jobs).where(c.id == id_, c.runner == runner, c.state == "running")
            if connection.execute(mine.values(lease_ms=until_ms, progress=progress)).rowcount != 1:
                return None
            return not connection.scalar(select(c.aborting).where(c.id == id_))

    def settle(self, id_: str, results: Mapping[int, tuple[ItemState, str]]) -> None:
        """What items came to, by their numbers."""
        c = job_items.c
        with self._engine.begin() as connection:
            for number, (state, message) in results.items():
                item = update(job_items).where(c.job == id_, c.number == number)
                connection.execute(item.values(state=state, message=stored(message)))

    def end(self, id_: str, runner: str, state: JobState, message: str, progress: str, now_ms: int) -> None:
        """The runner has done what there was to do."""
        c = jobs.c
        with self._engine.begin() as connection:
            mine = update(jobs).where(c.id == id_, c.runner == runner, c.state == "running")
            connection.execute(
                mine.values(state=state, message=stored(message), progress=progress, ended_ms=now_ms)
            )


def _chunks(items: Iterable[JobItem]) -> Iterator[Sequence[JobItem]]:
    left = iter(items)
    while some := list(islice(left, _ROWS_MAX)):
        yield some


def _forget(connection: Connection) -> None:
    ended = select(jobs.c.id).where(jobs.c.ended_ms > 0)
    old = list(connection.scalars(ended.order_by(jobs.c.ended_ms.desc()).offset(JOBS_KEPT).limit(_ROWS_MAX)))
    if old:
        connection.execute(delete(job_items).where(job_items.c.job.in_(old)))
        connection.execute(delete(jobs).where(jobs.c.id.in_(old)))
