"""What changes, as it changes, for everybody who looks on; the database is asked once for all of them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator

from msgspec import Struct
from sqlalchemy import Connection

from saga.core.errors import SagaError
from tracker.core.status import Status
from tracker.view.documents.moment import timestamp
from tracker.view.model.batch import SagaRow
from tracker.view.model.changes import changes_since, newest_revision
from tracker.view.queries.reader import ModelFailed, Reader, TooManyQuestions

POLL_SECONDS = 0.25
CHANGES_MAX = 500
"""Told at once."""

WAITING_MAX = 40
"""So many tellings may wait for one who looks on. Who is slower than that is left behind."""

LOOKING_MAX = 500

_log = logging.getLogger(__name__)


class TooManyWatchers(SagaError):
    """As many look on as can be served. Ask again later."""


class SagaChange(Struct, frozen=True, gc=False):
    """A saga that has changed, as it is now."""

    id: str
    flow: str
    flow_version: int | None
    begins: str
    key: str
    status: Status
    where: str
    began: str
    acted: str
    events: int


class Told(Struct, frozen=True):
    """Sagas that have changed, and ids of those that are none any more.

    Attributes
    ----------
    revision : of the newest of these changes: where to go on from.
    complete : False if it is not known what has changed: all has to be asked for anew.
    """

    revision: int
    sagas: tuple[SagaChange, ...] = ()
    removed: tuple[str, ...] = ()
    complete: bool = True


class Live:
    """Tells changes to everybody who asks for them. It polls as long as somebody does."""

    def __init__(self, reader: Reader, poll_seconds: float = POLL_SECONDS) -> None:
        self._reader = reader
        self._poll_seconds = poll_seconds
        self._queues: set[asyncio.Queue[Told | None]] = set()
        self._polling: asyncio.Task[None] | None = None
        self._revision = 0
        self._ending = False

    @property
    def looking(self) -> int:
        """How many look on; who was left behind is not among them."""
        return len(self._queues)

    async def changes(self, since: int | None = None) -> AsyncGenerator[Told, None]:
        """Changes after a revision, or from now on; first of all where that is. Ends with `end`.

        It also ends for one who is too slow: who comes again with the last revision misses nothing.

        Raises
        ------
        TooManyWatchers
            `LOOKING_MAX` do already.
        """
        if len(self._queues) >= LOOKING_MAX:
            raise TooManyWatchers(f"{LOOKING_MAX} look on already: ask again later")
        queue: asyncio.Queue[Told | None] = asyncio.Queue(WAITING_MAX)
        self._queues.add(queue)
        try:
            reached = await self._reader.ask(newest_revision) if since is None else since
            yield Told(reached)
            while not self._ending:
                told = await self._reader.ask(_told, reached)
                # What the poller has told is in the queue only if it was told after this began.
                behind = self._polling is not None and reached < self._revision
                if told.complete and told.revision == reached and not behind:
                    break
                reached = told.revision
                yield told
            if self._polling is None and not self._ending:
                self._revision = reached
                self._polling = asyncio.create_task(self._poll())
            while not self._ending:
                next_ = await queue.get()
                if next_ is None:
                    return
                if next_.revision > reached or not next_.complete:
                    reached = next_.revision
                    yield next_
        finally:
            self._queues.discard(queue)
            if not self._queues:
                await self._rest()

    async def end(self) -> None:
        """Nobody is told anything any more."""
        self._ending = True
        for queue in list(self._queues):
            self._leave_behind(queue)
        await self._rest()

    async def _rest(self) -> None:
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                told = await self._reader.ask(_told, self._revision)
                while told.revision != self._revision or not told.complete:
                    self._revision = told.revision
                    self._tell(told)
                    told = await self._reader.ask(_told, self._revision)
            except Exception as error:  # should this loop end, nobody would be told anything any more
                known = isinstance(error, ModelFailed | TooManyQuestions)
                _log.warning("changes can't be read now: %s", error, exc_info=not known)

    def _tell(self, told: Told) -> None:
        for queue in list(self._queues):
            try:
                queue.put_nowait(told)
            except asyncio.QueueFull:
                self._leave_behind(queue)

    def _leave_behind(self, queue: asyncio.Queue[Told | None]) -> None:
        """The last thing to come is the end; what waited is not needed any more."""
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


def _told(connection: Connection, since: int) -> Told:
    found = changes_since(connection, since, CHANGES_MAX)
    return Told(found.revision, tuple(map(_change, found.rows)), tuple(found.removed), found.complete)


def _change(row: SagaRow) -> SagaChange:
    return SagaChange(
        id=row.id,
        flow=row.flow,
        flow_version=row.flow_version or None,
        begins=row.begins,
        key=row.business_key,
        status=Status(row.status),
        where=row.place,
        began=timestamp(row.began_ms),
        acted=timestamp(row.acted_ms),
        events=row.events,
    )
