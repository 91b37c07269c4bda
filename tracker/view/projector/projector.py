"""The projector: from Kafka into the read model, as one of those that are ready to do it."""

import asyncio
import logging
import os
import socket
from functools import partial

from msgspec import structs

from saga.runtime.kafka import AIOKafkaConsumer, TopicPartition, reader
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.view.model.projection import Engine, Place, Projection, open_projection
from tracker.view.projector.beside import Beside
from tracker.view.projector.figures import ProjectorFigures
from tracker.view.projector.follow import Follower, now_ms
from tracker.view.projector.settings import ProjectorSettings
from tracker.view.projector.start import Kept, Start, start
from tracker.view.projector.survey import Survey, survey
from tracker.view.projector.thread import Blocking
from tracker.view.projector.work import FollowTracker, Work, rest

logger = logging.getLogger(__name__)

GARBAGE_OBJECTS = 100_000
"""For a process that projects: what a batch of records keeps alive is no reason to look for garbage."""

_CLAIM_SECONDS = 1.0
_RETRY_FIRST_SECONDS = 0.5
_RETRY_MAX_SECONDS = 10.0
_FETCH_BYTES_MAX = 4_000_000


async def run_projector(
    settings: ProjectorSettings,
    engine: Engine,
    stop: asyncio.Event,
    *,
    rebuild: bool = False,
    figures: ProjectorFigures | None = None,
    follow_tracker: FollowTracker | None = None,
) -> None:
    """Keep the read model up to date until told to stop.

    Waits as long as another projector has this database, and as long as Kafka or the database are not
    there.

    Parameters
    ----------
    engine : what `open_model` gave; the caller disposes of it.
    rebuild : begin with reading all from the beginning.
    figures : kept current, for those who want to look.
    follow_tracker : tells how far the tracker is; without it nothing is said of that.
    """
    await Projector(settings, engine, figures or ProjectorFigures(), rebuild, follow_tracker).run(stop)


class Projector:
    """One that works, or waits for the one that does."""

    def __init__(
        self,
        settings: ProjectorSettings,
        engine: Engine,
        figures: ProjectorFigures,
        rebuild: bool,
        follow_tracker: FollowTracker | None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._figures = figures
        self._rebuild = rebuild
        self._follow_tracker = follow_tracker
        self._blocking = Blocking("projector")
        self._beside = Beside()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop; whatever is not there is waited for."""
        figures, delay = self._figures, _RETRY_FIRST_SECONDS
        try:
            while not stop.is_set():
                written = figures.records
                try:
                    await self._run_once(stop)
                except Exception as error:
                    figures.restarts += 1
                    delay = _RETRY_FIRST_SECONDS if figures.records > written else delay
                    logger.warning("the projector starts again in %g s, because of %s", delay, _told(error))
                    logger.debug("it ended here", exc_info=True)
                    await rest(stop, delay)
                    delay = min(2 * delay, _RETRY_MAX_SECONDS)
        finally:
            await self._beside.end()
            self._blocking.end()

    async def _run_once(self, stop: asyncio.Event) -> None:
        database = await self._claim(stop)
        if database is None:
            return
        self._figures.working = True
        try:
            while not stop.is_set():
                await self._follow(database, stop)
            # Nobody has to wait then to know that it is gone.
            said = structs.replace(self._figures.said, beat_ms=0)
            await self._blocking(partial(database.write, {}, said))
        finally:
            self._figures.working = False
            await self._blocking(database.close)

    async def _claim(self, stop: asyncio.Event) -> Projection | None:
        waiting = False
        while not stop.is_set():
            database = await self._blocking(partial(open_projection, self._engine))
            if database is not None:
                return database
            if not waiting:
                waiting = True
                logger.info("another projector writes to this database; this one waits to take over")
            await rest(stop, _CLAIM_SECONDS)
        return None

    async def _follow(self, database: Projection, stop: asyncio.Event) -> None:
        """Until told to stop, or there is something else to be read."""
        found = await survey(self._settings)
        async with reader(
            self._settings, isolation_level="read_committed", max_partition_fetch_bytes=_FETCH_BYTES_MAX
        ) as consumer:
            offsets = await self._begin(database, consumer, found)
            follower = Follower(consumer, offsets, self._figures.said.as_of_ms)
            work = Work(
                self._settings,
                self._figures,
                self._blocking,
                self._beside,
                database,
                consumer,
                follower,
                self._follow_tracker,
            )
            await work.run(found, stop)

    async def _begin(
        self, database: Projection, consumer: "AIOKafkaConsumer[bytes, bytes]", found: Survey
    ) -> dict[Place, int]:
        """Where to go on, as the database has it then."""
        places = await self._blocking(database.places)
        before = await self._blocking(database.projected)
        available = await _available(consumer, found.partitions)
        begun = start(Kept(places, before.complete_ms), available, found.cluster, now_ms(), self._rebuild)
        _tell(begun)
        who = f"{socket.gethostname()}:{os.getpid()}"
        said = structs.replace(before, who=who, beat_ms=now_ms(), tracker_as_of_ms=0)
        if begun.anew:
            table = [ends for (topic, _), ends in available.items() if topic == SAGAS_CHANGELOG_TOPIC]
            said = structs.replace(
                said,
                as_of_ms=0,
                complete_ms=said.beat_ms,
                lag_records=0,
                building=True,
                built_records=0,
                build_records=sum(end - begin for begin, end in table),
            )
        await self._blocking(
            partial(
                database.begin,
                found.cluster,
                begun.moved,
                begun.recreated,
                said,
                another_cluster=begun.another_cluster,
                anew=bool(begun.anew),
            )
        )
        self._figures.said = said
        self._rebuild = False
        return begun.offsets


async def _available(
    consumer: "AIOKafkaConsumer[bytes, bytes]", partitions: list[TopicPartition]
) -> dict[Place, tuple[int, int]]:
    if not partitions:
        return {}
    begins = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    return {(at.topic, at.partition): (begins[at], ends[at]) for at in partitions}


def _tell(begun: Start) -> None:
    if begun.anew:
        logger.info("the read model is made from the beginning, because %s", begun.anew)
    for (topic, number), records in begun.skipped.items():
        logger.warning("%s-%d: Kafka has dropped up to %d records that were not read", topic, number, records)


def _told(error: Exception) -> str:
    # A database tells its statement and all values besides.
    return f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"
