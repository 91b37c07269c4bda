"""The work itself: take what came, write it with its positions, say how far that is; then the next."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial

from msgspec import structs

from saga.core.delivery import DEAD_LETTERS_PREFIX
from saga.runtime.kafka import AIOKafkaConsumer, KafkaError, TopicPartition
from saga.runtime.settings import KafkaSettings
from tracker.core.health import Standing as TrackerStanding
from tracker.core.retention import DAY_MS
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.view.model.batch import Batch
from tracker.view.model.freshness import Projected
from tracker.view.model.projection import Projection, Taken
from tracker.view.projector.beside import Beside
from tracker.view.projector.figures import ProjectorFigures
from tracker.view.projector.follow import Follower, Standing, now_ms
from tracker.view.projector.settings import ProjectorSettings
from tracker.view.projector.survey import Survey, survey
from tracker.view.projector.thread import Blocking

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 1.0
_SWEEP_SECONDS = 60.0
_SILENT_MS = 10_000
_REREAD_SAGAS = 1_000


FollowTracker = Callable[[KafkaSettings, Callable[[TrackerStanding], None]], Coroutine[None, None, None]]
"""Tells again and again how far the tracker is, until cancelled: `tracker.health.follow_tracker`."""


class Work:
    """From one survey of Kafka to the next that finds something else."""

    def __init__(
        self,
        settings: ProjectorSettings,
        figures: ProjectorFigures,
        blocking: Blocking,
        beside: Beside,
        database: Projection,
        consumer: "AIOKafkaConsumer[bytes, bytes]",
        follower: Follower,
        follow_tracker: FollowTracker | None,
    ) -> None:
        self._settings = settings
        self._figures = figures
        self._blocking = blocking
        self._beside = beside
        self._database = database
        self._consumer = consumer
        self._follower = follower
        self._follow_tracker = follow_tracker
        self._tracker: TrackerStanding | None = None
        self._silent = False

    async def run(self, found: Survey, stop: asyncio.Event) -> None:
        """Until told to stop, or there is something else to be read.

        Raises
        ------
        KafkaError, SteppedBack
            Kafka has not what was expected.
        DBAPIError, AnotherProjector
            The database does not take it. Nothing of the last batch is written then.
        """
        await self._know(found)
        beside = [asyncio.create_task(self._until_others(found, stop))]
        if self._follow_tracker is not None:
            beside.append(asyncio.create_task(self._keep_tracker(self._follow_tracker)))
        try:
            await self._write_until(stop, beside)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _keep_tracker(self, follow_tracker: FollowTracker) -> None:
        def keep(standing: TrackerStanding) -> None:
            self._tracker = standing

        await follow_tracker(self._settings, keep)

    async def _write_until(self, stop: asyncio.Event, beside: Sequence["asyncio.Task[None]"]) -> None:
        # One batch is written while the next one is taken, and folded if there is much of it.
        writing: asyncio.Task[None] | None = None
        beat = began = time.monotonic()
        waits_ms, most = self._settings.project_interval_ms, self._settings.project_records
        try:
            while not stop.is_set() and not any(task.done() for task in beside):
                if self._database.rereading:
                    taken = await self._follower.take(1, most)
                else:
                    await rest(stop, began + waits_ms / 1000 - time.monotonic())
                    taken = await self._follower.take(waits_ms, most)
                batch = await self._fold(taken)
                if writing is not None:
                    await writing
                    writing = None
                now = time.monotonic()
                if taken or self._database.rereading or now - beat >= _BEAT_SECONDS:
                    beat = now
                    # What is far behind need not wait for more.
                    began = now if _count(taken) < most / 2 else 0.0
                    writing = asyncio.create_task(self._write(taken, batch, self._follower.standing()))
                # What came before is still on its way to be written, and nothing more is asked for.
                self._tell_silence(0 if taken else self._follower.silent_ms())
        finally:
            if writing is not None:
                await writing
        for task in beside:
            if task.done():
                task.result()

    async def _fold(self, taken: Mapping[str, Taken]) -> Batch | None:
        """The batch of sagas, if another process has made it."""
        sagas = taken.get(SAGAS_CHANGELOG_TOPIC)
        if sagas is None:
            return None
        behind = self._follower.standing().lag_records
        return await self._beside(sagas.saga_records(), self._database.known, behind)

    async def _write(self, taken: Mapping[str, Taken], batch: Batch | None, standing: Standing) -> None:
        figures = self._figures
        said = _said(figures.said, standing, taken, self._tracker)
        await self._blocking(partial(self._database.write, taken, said, batch))
        if figures.said.building and not said.building:
            logger.info("the read model is complete: %d records", said.built_records)
        figures.said = said
        figures.records += _count(taken)
        figures.unreadable = self._database.unreadable
        if self._database.rereading and await self._blocking(partial(self._database.reread, _REREAD_SAGAS)):
            logger.info("all sagas are read by the flows and services of today")

    async def _until_others(self, found: Survey, stop: asyncio.Event) -> None:
        """Look around now and then; return when there are other topics."""
        swept = time.monotonic()
        while not stop.is_set():
            await rest(stop, self._settings.project_topics_ms / 1000)
            if stop.is_set():
                return
            try:
                now = await survey(self._settings)
                if not now.same_topics(found):
                    logger.info("there are other topics than before: %s", _difference(found, now))
                    return
                if not now.known.same(found.known):
                    found = now
                    await self._know(found)
                if time.monotonic() - swept >= _SWEEP_SECONDS:
                    swept = time.monotonic()
                    await self._sweep(found.partitions)
            except (KafkaError, OSError) as error:
                logger.debug("looking for topics: %r", error)  # silence is told where it counts

    async def _know(self, found: Survey) -> None:
        self._figures.known = found.known
        if await self._blocking(partial(self._database.know, found.known)):
            logger.info("flows or services have changed: sagas are read again from the database")

    async def _sweep(self, partitions: list[TopicPartition]) -> None:
        letters = [at for at in partitions if at.topic.startswith(DEAD_LETTERS_PREFIX)]
        begins = await self._consumer.beginning_offsets(letters) if letters else {}
        at_ms = now_ms()
        before_ms = at_ms - round(self._settings.alert_days * DAY_MS)
        audit_ms = at_ms - round(self._settings.audit_days * DAY_MS)
        first = {(at.topic, at.partition): offset for at, offset in begins.items()}
        await self._blocking(partial(self._database.sweep, first, before_ms, audit_ms))

    def _tell_silence(self, silent_ms: int) -> None:
        if silent_ms > _SILENT_MS and not self._silent:
            self._silent = True
            logger.warning(
                "Kafka has not answered for %d s; the projector goes on when it does", silent_ms / 1000
            )
        elif silent_ms <= _SILENT_MS and self._silent:
            self._silent = False
            logger.info("Kafka answers again")


async def rest(stop: asyncio.Event, seconds: float) -> None:
    """Wait for so long, or until told to stop."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


def _said(
    before: Projected, standing: Standing, taken: Mapping[str, Taken], tracker: TrackerStanding | None
) -> Projected:
    table = taken.get(SAGAS_CHANGELOG_TOPIC)
    moved = 0 if table is None else sum(end - begin for begin, end in table.moved.values())
    if tracker is not None:
        before = structs.replace(
            before,
            tracker_as_of_ms=tracker.as_of_ms,
            tracker_lag_records=tracker.lag_records,
            tracker_at_work=tracker.at_work,
        )
    return structs.replace(
        before,
        beat_ms=now_ms(),
        as_of_ms=standing.as_of_ms,
        complete_ms=standing.table_ms if standing.whole else before.complete_ms,
        lag_records=standing.lag_records,
        building=before.building and not standing.whole,
        built_records=before.built_records + (moved if before.building else 0),
    )


def _count(taken: Mapping[str, Taken]) -> int:
    return sum(len(one.records) for one in taken.values())


def _difference(before: Survey, now: Survey) -> str:
    if before.cluster != now.cluster:
        return f"this is cluster {now.cluster}"
    changed = before.counts.items() ^ now.counts.items()
    return ", ".join(sorted({topic for topic, _ in changed}))
