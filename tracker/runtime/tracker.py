"""The tracker: frames in, sagas durable. Opens the store's layers, and stops them in order."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from msgspec import DecodeError

from saga.core.errors import SagaError
from saga.runtime.kafka import AIOKafkaProducer, TopicPartition
from tracker.core.frame import STEPS_TOPIC, decode_frame
from tracker.core.order import FrameOrder, Place
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.runtime.app import TrackerApp, tracker_app
from tracker.runtime.effects import Effects
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.ownership import GroupOwnership
from tracker.runtime.recovery import Progress, watched_recovery
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.supervision import unless_stopped
from tracker.runtime.topics import first_offset
from tracker.store.cache import SagaCache
from tracker.store.changelog import Changelog
from tracker.store.commit import Commit
from tracker.store.rocks import RocksRows
from tracker.store.table import SagaTable

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 0.1
_GO_BACK_SECONDS = 1.0
_PAUSES = 3
"""Pause between two commits, in durations of the last one."""
_PAUSE_SECONDS_MAX = 0.3
_WOKEN_SAGAS = 500
"""Sagas that are told of their deadlines before others may run again."""


class TrackerCrashed(SagaError):
    """Faust or the store gave up. A new tracker can begin from the committed offsets."""


class Tracker:
    """Folds the frames of our partitions of `saga.steps` into the saga table.

    One use only: after a crash or a stop, make a new one. `unreadable` counts frames, by partition,
    that were left out because their bytes are no frame.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        partitions: int,
        producer: AIOKafkaProducer,
        effects: Effects,
        knowledge: Knowledge,
    ) -> None:
        self._settings = settings
        self._knowledge = knowledge
        self._faust: TrackerApp = tracker_app(settings, partitions, self._take_frame)
        self._ownership = GroupOwnership(self._faust.app, STEPS_TOPIC, settings.session_timeout_ms)
        # The one place where the store's layers are put together: types on top, bytes below.
        rows = RocksRows(self._faust.database)
        cache = SagaCache(settings.cached_sagas)
        self.table = SagaTable(rows, cache, settings.saga_bytes, settings.source_gone_ms)
        changelog = Changelog(producer, SAGAS_CHANGELOG_TOPIC)
        self._commit = Commit(self.table, effects, changelog, rows, self._ownership)
        self._due = asyncio.Event()
        self._stopping = False
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order = FrameOrder()
        self._rebalances = 0
        self._went_back_at: dict[int, float] = {}
        self.unreadable: Counter[int] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop; then write what is folded and leave the group.

        Raises
        ------
        TrackerCrashed, RecoveryFailed
            It could not go on. What was folded and not committed will be read again.
        """
        await unless_stopped(stop, self._knowledge.ready())
        if stop.is_set():
            return
        app = self._faust.app
        app.on_partitions_revoked.connect(self._revoked)
        app.on_partitions_assigned.connect(self._assigned)
        told = asyncio.create_task(stop.wait())
        with watched_recovery(self._fail):
            tasks = [self._task(app.start()), self._task(self._watch())]
            committing = self._task(self._commit_regularly())
            try:
                await asyncio.wait((told, self._failure), return_when=asyncio.FIRST_COMPLETED)
                if not self._failure.done():
                    await self._commit_and_end(committing)
            finally:
                for task in (told, committing, *tasks[1:]):
                    task.cancel()
                await app.stop()
                tasks[0].cancel()
                app.on_partitions_revoked.disconnect(self._revoked)
                app.on_partitions_assigned.disconnect(self._assigned)
        if self._failure.done():
            await self._failure

    async def _take_frame(self, partition: int, offset: int, at_ms: int, value: bytes | None) -> None:
        """Fold a frame. Faust has just made sure that its partition is ours; so nothing is awaited before,
        but for the first frame of a partition, which opens it.
        """
        if self._stopping or self._order.expected(partition) is None:
            return  # no commit follows, or it is not ours: whoever owns the partition next reads it
        try:
            if not self.table.is_open(partition) and not await self._opened(partition):
                return  # should it be ours again, the frame is missed and read anew
            match self._order.place(partition, offset):
                case Place.NEXT:
                    self._fold(partition, offset, at_ms, value)
                    await self._wake(partition)
                    if self.table.dirty_count >= 2 * self._settings.dirty_sagas:
                        await self._commit.commit()
                case Place.AHEAD:
                    await self._go_back(partition)
                case Place.REPEATED:
                    pass
        except Exception as error:
            self._fail(error)  # Faust would start the agent again, behind this frame
            raise

    async def _opened(self, partition: int) -> bool:
        """Open a partition of the table; false if it was given up meanwhile."""
        rebalances = self._rebalances
        for _ in self.table.opening(partition):
            await asyncio.sleep(0)
            if self._rebalances != rebalances:
                return False  # its database is closed, and must not be opened by going on
        return True

    def _fold(self, partition: int, offset: int, at_ms: int, value: bytes | None) -> None:
        try:
            frame = decode_frame(value or b"")
        except (DecodeError, UnicodeDecodeError) as error:
            self.unreadable[partition] += 1
            logger.warning("%s-%d@%d is no frame and is skipped: %s", STEPS_TOPIC, partition, offset, error)
        else:
            self.table.observe(partition, frame.watermarks, at_ms)
            self.table.fold(partition, frame.sagas, self._knowledge.world())
        self._commit.folded(partition, offset)
        if self.table.dirty_count >= self._settings.dirty_sagas:
            self._due.set()

    async def _wake(self, partition: int) -> None:
        """Tell the sagas whose deadline has come, some hundred at a time, and let others run in between.

        Others are a commit and a rebalance. Neither does harm. The frame is folded and counts as such:
        what is left to do follows from the rows and the clock alone, so whoever goes on from a commit
        in between, after a crash or a rebalance, finds the same sagas due. Effects and rows of a saga
        are made in one step and so are always in the same commit. And a partition that was given up has
        no time and no deadlines here, so the loop ends.
        """
        while not self._stopping and self.table.fold_due(partition, self._knowledge.world(), _WOKEN_SAGAS):
            if self.table.dirty_count >= 2 * self._settings.dirty_sagas:
                await self._commit.commit()  # what is decided and not written is bounded
            elif self.table.dirty_count >= self._settings.dirty_sagas:
                self._due.set()
            await asyncio.sleep(0)

    async def _commit_regularly(self) -> None:
        interval = self._settings.commit_interval_ms / 1000
        pause = interval
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), pause)
            self._due.clear()
            begun = time.monotonic()
            await self._commit.commit()
            # Under load commits last longer, and rarer ones write each saga once instead of twice.
            pause = max(interval, min(_PAUSES * (time.monotonic() - begun), _PAUSE_SECONDS_MAX))

    async def _commit_and_end(self, committing: asyncio.Task[None]) -> None:
        """The last commit. None may follow: once the group is left, the partitions are not ours."""
        self._stopping = True
        self._due.set()
        await committing

    async def _go_back(self, partition: int) -> None:
        """Faust left frames out, as it does when a rebalance overtakes a fetch: have them read again."""
        now = time.monotonic()
        if now - self._went_back_at.get(partition, float("-inf")) < _GO_BACK_SECONDS:
            return  # frames that were under way before the last time
        self._went_back_at[partition] = now
        expected = self._order.expected(partition)
        if expected is None:
            return
        first = await first_offset(self._settings, TopicPartition(STEPS_TOPIC, partition), expected)
        if self._order.expected(partition) != expected:
            return  # it changed hands meanwhile
        if first > expected:
            logger.error(
                "%s-%d: no frames from %d to %d. Give the topic a longer retention than the tracker may be "
                "down, no compaction, and no writer but the collector",
                *(STEPS_TOPIC, partition, expected, first - 1),
            )
            self._order.skip_to(partition, first)
        logger.info("%s-%d: back to frame %d", STEPS_TOPIC, partition, first)
        await self._ownership.seek(partition, first)

    async def _revoked(self, *_: Any, **__: Any) -> None:
        self._order.end()
        self._rebalances += 1
        await self._commit.give_up()

    async def _assigned(self, _: Any, assigned: Any, **__: Any) -> None:
        self._ownership.proven()
        ours = [source.partition for source in assigned if source.topic == STEPS_TOPIC]
        self._order.begin(await self._ownership.positions(ours))

    async def _watch(self) -> None:
        """Faust tells of crashes in flags that other threads set: they are looked at, not awaited."""
        app = self._faust.app
        progress = Progress()
        while not app.crashed:
            await asyncio.sleep(_WATCH_SECONDS)
            progress.check(app, time.monotonic())
        raise TrackerCrashed(f"Faust crashed: {app.crash_reason!r}")

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)
