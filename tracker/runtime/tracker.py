"""The tracker: frames in, sagas durable. Opens the store's layers, and stops them in order."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

from msgspec import DecodeError

from saga.core.errors import SagaError
from saga.runtime.kafka import AIOKafkaProducer
from tracker.core.frame import STEPS_TOPIC, decode_frame
from tracker.core.lag import SourceLag
from tracker.core.order import FrameOrder, Place
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.core.watermark import Source
from tracker.runtime.effects import Effects
from tracker.runtime.figures import Figures, TableFigures
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.ownership import GroupOwnership
from tracker.runtime.platform import Platform
from tracker.runtime.restore import Restore, Unreadable, alerts, dead_lettered, keys_between
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.supervision import unless_stopped
from tracker.store.cache import SagaCache
from tracker.store.changelog import Changelog
from tracker.store.commit import Commit
from tracker.store.table import UNREADABLE, SagaTable

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 0.1
_GO_BACK_SECONDS = 1.0
_PAUSES = 3
"""Pause between two commits, in durations of the last one."""
_PAUSE_SECONDS_MAX = 0.3
_RECALLED_FRAMES_MAX = 10_000
"""Frames read again for their time at most: minutes of them. A clock that is older has other reasons."""
_WOKEN_SAGAS = 500
"""Sagas that are told of their deadlines before others may run again."""
_SWEEP_SECONDS = 0.4
_SWEPT_ROWS = 100
"""Rows of a partition looked at that often for sagas that leave: some 0.1 ms. A million are looked at within
some ten minutes, even where nothing happens."""


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
        platform: Platform,
        producer: AIOKafkaProducer,
        effects: Effects,
        knowledge: Knowledge,
        figures: Figures,
    ) -> None:
        self._settings = settings
        self._figures = figures
        self._knowledge = knowledge
        self._producer = producer
        self._platform = platform
        self._app = platform.app(self._take_frame)
        self._ownership = GroupOwnership(self._app, STEPS_TOPIC, settings.session_timeout_ms)
        # The one place where the store's layers are put together: types on top, bytes below.
        self._rows = platform.rows()
        cache = SagaCache(settings.cached_sagas)
        self.table = SagaTable(
            self._rows, cache, settings.saga_bytes, settings.source_gone_ms, figures.account
        )
        between = keys_between(SAGAS_CHANGELOG_TOPIC, platform.changelog)
        self._changelog = Changelog(producer, SAGAS_CHANGELOG_TOPIC, between)
        self._commit = Commit(self.table, effects, self._changelog, self._rows, self._ownership, figures)
        others = range(platform.partitions) if settings.standby else range(0)
        self._restore = Restore(SAGAS_CHANGELOG_TOPIC, self._rows, platform.changelog, others)
        self._due = asyncio.Event()
        self._stopping = False
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order = FrameOrder()
        self._opening = asyncio.Lock()
        self._openers: set[asyncio.Task[bool]] = set()
        self._rebalances = 0
        self._member = False
        self._went_back_at: dict[int, float] = {}
        self._swept_at: dict[int, float] = {}
        self._frame_ms: dict[int, int] = {}
        self._first_frames: dict[int, int] = {}  # that their partitions still had when they became ours
        self.unreadable = figures.unreadable

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop; then write what is folded and leave the group.

        Raises
        ------
        TrackerCrashed, RestoreFailed
            It could not go on. What was folded and not committed will be read again.
        """
        await unless_stopped(stop, self._knowledge.ready())
        if stop.is_set():
            return
        app = self._app
        app.on_partitions_revoked.connect(self._revoked)
        app.on_partitions_assigned.connect(self._assigned)
        told = asyncio.create_task(stop.wait())
        faust = self._task(app.start())
        committing = self._task(self._commit_regularly())
        others = [self._task(self._watch()), self._task(self._restore.run())]
        try:
            await asyncio.wait((told, self._failure), return_when=asyncio.FIRST_COMPLETED)
            if not self._failure.done():
                await self._commit_and_end(committing)
        finally:
            for task in (told, committing, *others):
                task.cancel()
            await app.stop()
            faust.cancel()
            app.on_partitions_revoked.disconnect(self._revoked)
            app.on_partitions_assigned.disconnect(self._assigned)
            for opening in self._openers:
                opening.cancel()
            others += self._openers
            await asyncio.wait(others)  # they may be about to write or to read
            self._rows.close()
        if self._failure.done():
            await self._failure

    @property
    def ready(self) -> bool:
        """Whether Faust has given us our partitions, and their rows are restored."""
        return bool(self._app.started) and self._member and self._restore.complete

    def lags(self) -> dict[Source, SourceLag]:
        """How far each of our partitions of `saga.steps` has not been folded."""
        now_ms = time.time_ns() // 1_000_000
        lags = {}
        for partition in self._order.partitions:
            end = self._ownership.end(partition)
            expected = self._order.expected(partition)
            records = 0 if end is None or expected is None else max(0, end - expected)
            since_ms = self._frame_ms.get(partition, now_ms) if records else now_ms
            lags[STEPS_TOPIC, partition] = SourceLag(records, max(0, now_ms - since_ms) / 1000)
        return lags

    def table_figures(self) -> TableFigures:
        """The table as it is now."""
        now_ms = time.time_ns() // 1_000_000
        table = self.table
        partitions = table.open_partitions
        times = {partition: table.now_ms(partition) for partition in partitions}
        return TableFigures(
            table.in_flight,
            table.dirty_count,
            table.cached_count,
            sum(table.deadline_count(partition) for partition in partitions),
            len({source for gone in table.gone_sources().values() for source in gone}),
            {number: max(0, now_ms - at_ms) / 1000 for number, at_ms in times.items() if at_ms is not None},
        )

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
                    self._sweep(partition)
                    if self.table.dirty_count >= 2 * self._settings.dirty_sagas:
                        await self._commit.commit()
                case Place.RECALLED:
                    self._recall(partition, offset, at_ms, value)
                case Place.AHEAD:
                    await self._go_back(partition)
                case Place.REPEATED:
                    pass
        except Exception as error:
            self._fail(error)  # Faust would start the agent again, behind this frame
            raise

    def _sweep(self, partition: int) -> None:
        """Look for sagas to remove, by the clock and not by frames: there are many of these under load."""
        now = asyncio.get_running_loop().time()
        if now - self._swept_at.get(partition, float("-inf")) >= _SWEEP_SECONDS:
            self._swept_at[partition] = now
            self.table.sweep(partition, self._knowledge.world(), _SWEPT_ROWS)

    async def _opened(self, partition: int) -> bool:
        """Open a partition of the table if it is not; false if it was given up meanwhile."""
        rebalances = self._rebalances
        if not await self._restore.restored(partition):
            return False
        async with self._opening:  # the next one in the order in which they are restored
            if self._rebalances != rebalances:
                return False
            return self.table.is_open(partition) or await self._open_table(partition)

    async def _open_table(self, partition: int) -> bool:
        rebalances = self._rebalances
        self._changelog.begin(partition, self._rows.open(partition))
        unreadable = self._restore.unreadable(partition)
        if unreadable:
            await self._set_aside(partition, unreadable)
        for _ in self.table.opening(partition):
            await asyncio.sleep(0)
            if self._rebalances != rebalances:
                return False  # its database is closed, and must not be opened by going on
        await self._turn_clock_on(partition)
        return self._rebalances == rebalances

    async def _turn_clock_on(self, partition: int) -> None:
        """Have the frames between the clock that was kept and the committed offset read for their time.

        Who was here before has judged by it, and perhaps told of that without having kept it. So we decide
        the same from the frames that follow.
        """
        expected, kept = self._order.expected(partition), self.table.clock_frame(partition)
        if expected is None or kept < 0:
            return
        first = max(kept + 1, expected - _RECALLED_FRAMES_MAX, self._first_frames[partition])
        if first < expected:
            self._order.recall_from(partition, first)
            await self._ownership.seek(partition, first)

    async def _set_aside(self, partition: int, unreadable: Unreadable) -> None:
        """Keep what could not be restored for somebody to look at, and put right what others will read."""
        self.table.trouble[UNREADABLE] += len(unreadable)
        await dead_lettered(self._settings, self._producer, unreadable)
        await self._commit.repair(partition, unreadable, alerts(unreadable))

    def _recall(self, partition: int, offset: int, at_ms: int, value: bytes | None) -> None:
        with contextlib.suppress(DecodeError, UnicodeDecodeError):  # counted when it was folded
            self.table.recall(partition, decode_frame(value or b"").watermarks, at_ms, offset)

    def _fold(self, partition: int, offset: int, at_ms: int, value: bytes | None) -> None:
        try:
            frame = decode_frame(value or b"")
        except (DecodeError, UnicodeDecodeError) as error:
            self.unreadable[partition] += 1
            read = []
            logger.warning("%s-%d@%d is no frame and is skipped: %s", STEPS_TOPIC, partition, offset, error)
        else:
            self.table.observe(partition, frame.watermarks, at_ms, offset)
            self.table.fold(partition, frame.sagas, self._knowledge.world()._replace(told_ms=at_ms))
            self._figures.facts += sum(map(len, frame.sagas.values()))
            read = frame.read
        self._figures.frames += 1
        self._frame_ms[partition] = at_ms
        self._commit.folded(partition, offset, read)
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
        time = asyncio.get_running_loop().time
        interval = self._settings.commit_interval_ms / 1000
        pause = interval
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), pause)
            self._due.clear()
            begun = time()
            await self._commit.commit()
            # Under load commits last longer, and rarer ones write each saga once instead of twice.
            pause = max(interval, min(_PAUSES * (time() - begun), _PAUSE_SECONDS_MAX))

    async def _commit_and_end(self, committing: asyncio.Task[None]) -> None:
        """The last commit. None may follow: once the group is left, the partitions are not ours."""
        self._stopping = True
        self._due.set()
        await committing

    async def _go_back(self, partition: int) -> None:
        """Faust left frames out, as it does when a rebalance overtakes a fetch: have them read again."""
        now = asyncio.get_running_loop().time()
        if now - self._went_back_at.get(partition, float("-inf")) < _GO_BACK_SECONDS:
            return  # frames that were under way before the last time
        self._went_back_at[partition] = now
        expected = self._order.expected(partition)
        if expected is None:
            return
        first = await self._platform.first_offset(partition, expected)
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
        self._member = False
        self._order.end()
        self._rebalances += 1
        self._restore.end()
        await self._commit.give_up()
        if not self._settings.standby:
            self._rows.close()

    async def _assigned(self, _: Any, assigned: Any, **__: Any) -> None:
        self._ownership.proven()
        ours = sorted(source.partition for source in assigned if source.topic == STEPS_TOPIC)
        self._restore.begin(ours)
        positions = await self._ownership.positions(ours)
        self._first_frames = {partition: offsets.start for partition, offsets in positions.items()}
        self._order.begin({partition: offsets.stop for partition, offsets in positions.items()})
        self._member = True
        for partition in ours:
            # Before its first frame comes: a collector that starts beside us takes a second to send one.
            opening = self._task(self._opened(partition))
            self._openers.add(opening)
            opening.add_done_callback(self._openers.discard)

    async def _watch(self) -> None:
        """Faust tells of crashes in flags that other threads set: they are looked at, not awaited."""
        while not self._app.crashed:
            if (error := self._ownership.group_error()) is not None:
                raise TrackerCrashed(f"the group of the trackers takes no one in: {error!r}") from error
            await asyncio.sleep(_WATCH_SECONDS)
        raise TrackerCrashed(f"Faust crashed: {self._app.crash_reason!r}")

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
