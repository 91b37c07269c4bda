"""The parts of the tracker that run in one event loop, supervised."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from saga.core.errors import AccessRefused, DeclarationError
from saga.runtime.access import check_access, explain
from saga.runtime.kafka import AIOKafkaProducer, connection, started, until_available
from tracker.runtime.access import tracker_rights
from tracker.runtime.announcements import Announcements
from tracker.runtime.collector import Collector, source_consumer
from tracker.runtime.dead_letters import DeadLetters
from tracker.runtime.effects import Effects
from tracker.runtime.figures import Figures, TrackerGauge
from tracker.runtime.flows import FlowRegistry
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.restore import RestoreFailed
from tracker.runtime.settings import TrackerSettings, WatchSettings
from tracker.runtime.supervision import Delays, Part, together, unless_stopped
from tracker.runtime.topics import Cluster, made_topics
from tracker.runtime.watch import Watch

logger = logging.getLogger(__name__)

GARBAGE_OBJECTS = 100_000
"""For `calm_garbage_collector` in a process of these."""


class TrackerPart(Part, TrackerGauge, Protocol):
    """A tracker, seen from here: a process that only collects does not import Faust, which takes a second."""


MakeTracker = Callable[[Cluster, AIOKafkaProducer, Effects, Knowledge], TrackerPart]


class Parts:
    """Runs the collector, the tracker or both, and runs them anew when Kafka or Faust give up on them.

    `make_tracker` is None where there is none to run. `watches`: whether dead letters are counted here, and
    how far trackers are behind.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        figures: Figures,
        make_tracker: MakeTracker | None,
        watches: bool = True,
    ) -> None:
        self._settings = settings
        self._figures = figures
        self._make_tracker = make_tracker
        self._collects = settings.parts != "tracker"
        self._watches = watches

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop.

        Raises
        ------
        SagaError
            Something that another attempt won't mend: no Kafka at the start, settings, rights, a table
            that can't be recovered.
        """
        await unless_stopped(stop, until_available(self._settings))
        rights = tracker_rights(self._settings.parts)
        delays = Delays()
        while not stop.is_set():
            try:
                await unless_stopped(stop, check_access(self._settings, rights))
                await self._run_once(stop)
            except (AccessRefused, DeclarationError, RestoreFailed):
                raise
            except Exception as error:
                # A business topic that is refused is left out from now on, see SourceSubscription.
                await explain(self._settings, error, rights, others=False)
                delay = delays.next()
                self._figures.restarts += 1
                part = "tracker" if self._make_tracker else "collector"
                logger.warning("the %s starts again in %g s, because of %r", part, delay, error)
                logger.debug("it ended here", exc_info=True)
                await unless_stopped(stop, asyncio.sleep(delay))
            finally:
                if self._collects:
                    self._figures.collects(None)
                self._figures.tracks(None)

    async def _run_once(self, stop: asyncio.Event) -> None:
        settings, figures = self._settings, self._figures
        cluster = await unless_stopped(stop, made_topics(settings))
        if cluster is None:
            return
        async with contextlib.AsyncExitStack() as stack:
            producer = await stack.enter_async_context(_producer(settings))
            announcements = Announcements(settings)
            flows = FlowRegistry(settings, producer)
            known = Knowledge(announcements, flows, settings.retention)
            parts: list[Part] = [announcements, flows]
            if self._collects:
                consumer = source_consumer(settings)
                collector = Collector(
                    settings, cluster.partitions, consumer, producer, announcements, known, figures
                )
                figures.collects(collector)
                parts.append(collector)
            if self._make_tracker is not None:
                effects = await stack.enter_async_context(Effects(settings, figures.refused))
                tracker = self._make_tracker(cluster, producer, effects, known)
                figures.tracks(tracker)
                parts.append(tracker)
            if self._watches:
                parts += [DeadLetters(settings, figures.dead_letters), Watch(settings, WatchSettings())]
            await together(stop, settings.stop_grace_ms / 1000, *parts)


@contextlib.asynccontextmanager
async def _producer(settings: TrackerSettings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        **connection(settings),
        enable_idempotence=True,
        acks="all",
        max_batch_size=512 * 1024,
        max_request_size=max(settings.frame_bytes, settings.saga_bytes) + 64 * 1024,
        request_timeout_ms=15_000,
    )
    await started(producer)
    try:
        yield producer
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(producer.stop(), 2.0)
