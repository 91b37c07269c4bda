"""The saga table: sagas on top, rows of bytes below; with what wakes them, and what they want done."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from saga.core.ids import derived_id
from tracker.core.advance import World, advance
from tracker.core.clock import CLOCK_ROW
from tracker.core.effect import Alert, Effect
from tracker.core.errors import UnreadableSaga
from tracker.core.fold import fold
from tracker.core.frame import CommandSeen, Fact, Watermark
from tracker.core.saga import Saga, decode_saga, encode_saga
from tracker.core.watermark import Source
from tracker.store.cache import SagaCache
from tracker.store.clocks import Clocks
from tracker.store.deadlines import Deadlines
from tracker.store.rocks import OFFSET_KEY, RocksRows

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable"
TOO_LARGE = "too-large"
BROKEN = "broken"

_RESERVED = frozenset({OFFSET_KEY.decode(), CLOCK_ROW})
"""No saga can have these ids: its row would overwrite the offset of the database, or the clock."""

_SCANNED_ROWS = 10_000
"""Rows of one step of a scan: some 15 ms."""

_TELLING_PARTITION = 0
"""Every partition has a clock, and all of them see the same sources: one of them raises the alarm."""


class Taken(NamedTuple):
    """What is to be written: the rows that changed, by partition, and what they want done before."""

    rows: dict[int, dict[bytes, bytes]]
    effects: list[Effect]


class SagaTable:
    """Sagas by partition, written behind: changes stay in memory until a commit takes them.

    A partition is opened once it is ours and its rows are there: its clock is restored, and the
    deadlines of its sagas are read. `forget` ends that for all partitions. `trouble` counts what could
    not be read, written or followed, by reason.
    """

    def __init__(self, rows: RocksRows, cache: SagaCache, saga_bytes_max: int, source_gone_ms: int) -> None:
        self._rows = rows
        self._cache = cache
        self._saga_bytes_max = saga_bytes_max
        self._source_gone_ms = source_gone_ms
        self._clocks = Clocks(source_gone_ms)
        self._deadlines = Deadlines()
        self._effects: list[Effect] = []
        self.trouble: Counter[str] = Counter()

    @property
    def dirty_count(self) -> int:
        """How many sagas changed since `take`."""
        return self._cache.dirty_count

    def deadline_count(self, partition: int) -> int:
        """How many sagas of an open partition have a deadline."""
        return self._deadlines.count(partition)

    def now_ms(self, partition: int) -> int | None:
        """The time of a partition; None if it is not known, or the partition is not open."""
        return self._clocks.now_ms(partition)

    def gone_sources(self) -> dict[int, tuple[Source, ...]]:
        """By partition the sources that hold up its time no longer because nobody reads them."""
        return self._clocks.gone()

    def is_open(self, partition: int) -> bool:
        """Whether `opening` has come to its end for this partition since the last `forget`."""
        return partition in self._clocks

    def opening(self, partition: int) -> Iterator[None]:
        """Open a partition in steps of some milliseconds; nothing of it may be folded before the end.

        Between two steps others may work; who does not go on to the end has opened nothing.
        """
        self._deadlines.open(partition)
        last: bytes | None = None
        while rows := self._rows.scan(partition, last, _SCANNED_ROWS):
            self._deadlines.scan(partition, iter(rows))
            last = rows[-1][0]
            yield
        [clock] = self._rows.get_many(partition, [CLOCK_ROW.encode()])
        self._clocks.open(partition, clock)

    def observe(self, partition: int, watermarks: Iterable[Watermark], frame_ms: int) -> None:
        """Move the clock of an open partition on, by what a frame says of its sources."""
        reckoned = self._clocks.observe(partition, watermarks, frame_ms)
        if partition == _TELLING_PARTITION:
            for source in reckoned.gone:
                self._tell_gone(source, self._clocks.watermark(partition, source), frame_ms)
            for topic, number in reckoned.returned:
                logger.info("%s-%d is read again, and time waits for it again", topic, number)

    def fold(self, partition: int, facts: Mapping[str, Sequence[Fact]], world: World) -> None:
        """Fold the facts of one frame into its sagas. Never waits, and so is never interrupted."""
        sagas = self._sagas(partition, facts)
        now_ms = self._clocks.now_ms(partition)
        for saga_id, its_facts in facts.items():
            if saga_id not in _RESERVED:
                after = self._advanced(partition, sagas[saga_id], saga_id, its_facts, now_ms, world)
                if after is not None:
                    self._deadlines.put(partition, saga_id, after.due_ms)

    def fold_due(self, partition: int, world: World, sagas_max: int) -> bool:
        """Tell so many sagas whose deadline has come that it has; whether there may be more.

        Never waits. A saga is told once for one time of the partition, whatever it answers.
        """
        now_ms = self._clocks.now_ms(partition)
        if now_ms is None:
            return False
        due = list(islice(self._deadlines.due(partition, now_ms), sagas_max))
        sagas = self._sagas(partition, due)
        for saga_id in due:
            before = sagas[saga_id]
            if before is None:
                continue  # its row can't be read
            after = self._advanced(partition, before, saga_id, (), now_ms, world)
            if after is not None and after is not before and after.due_ms >= 0:
                self._deadlines.put(partition, saga_id, max(after.due_ms, now_ms + 1))
        return len(due) == sagas_max

    def take(self) -> Taken:
        """What changed. `written` must follow before it is called again."""
        rows = {
            partition: {
                saga.id.encode(): row for saga in sagas.values() if (row := self._encoded(saga)) is not None
            }
            for partition, sagas in self._cache.take_dirty().items()
        }
        # The clock comes last: one that is found in the changelog without sagas before it would have
        # them judged by a time at which they had not been told what they have been told since.
        for partition, clock in self._clocks.take(rows).items():
            rows.setdefault(partition, {})[CLOCK_ROW.encode()] = clock
        effects, self._effects = self._effects, []
        return Taken(rows, effects)

    def written(self) -> None:
        """What `take` gave is on disk."""
        self._cache.written()

    def forget(self) -> None:
        """Forget what is in memory, written or not: the partitions are about to change hands."""
        self._cache.clear()
        self._clocks.forget()
        self._deadlines.forget()
        self._effects.clear()

    def _advanced(
        self,
        partition: int,
        before: Saga | None,
        saga_id: str,
        facts: Sequence[Fact],
        now_ms: int | None,
        world: World,
    ) -> Saga | None:
        """The saga after these facts and at this time, kept if it changed; None if there is none."""
        try:
            after, effects = advance(before, saga_id, facts, now_ms, world)
        except Exception:
            # One saga or flow must not stop all others. What has happened is kept; what the flow would
            # have made of it is tried again when more happens.
            self.trouble[BROKEN] += 1
            logger.exception(
                "saga %s can't be followed along its flow. Its events are kept. Please report this with the "
                "flow file",
                saga_id,
            )
            told = [fact for fact in facts if not isinstance(fact, CommandSeen)]
            after, effects = (fold(before, saga_id, told) if told else None), []
        if effects:
            self._effects.extend(effects)
        if after is not None and after is not before:
            self._cache.put_dirty(partition, after)
        return after

    def _tell_gone(self, source: Source, read_ms: int | None, at_ms: int) -> None:
        topic, partition = source
        message = (
            f"{topic}-{partition} has not been read by any collector for {self._source_gone_ms / 1000:g} s, "
            "and time goes on without it. If the topic is gone for good, nothing is to be done; otherwise "
            "look after its leader, the rights of the tracker, and the log of the collectors"
        )
        logger.warning("%s", message)
        # The same alarm again, after a replay, is the same alert: it is named by where the source stopped.
        alert_id = derived_id(f"{topic}-{partition}", "tracker.source-gone", read_ms or 0)
        self._effects.append(
            Alert(alert_id, "", f"{topic}-{partition}", "", 0, "source-gone", at_ms, message)
        )

    def _sagas(self, partition: int, saga_ids: Iterable[str]) -> dict[str, Saga | None]:
        get = self._cache.get
        sagas = {saga_id: get(partition, saga_id) for saga_id in saga_ids}
        missing = [saga_id for saga_id, saga in sagas.items() if saga is None]
        if missing:
            values = self._rows.get_many(partition, [saga_id.encode() for saga_id in missing])
            for saga_id, value in zip(missing, values, strict=True):
                if value is not None and saga_id not in _RESERVED:
                    sagas[saga_id] = self._decoded(saga_id, value)
        return sagas

    def _decoded(self, saga_id: str, value: bytes) -> Saga | None:
        try:
            saga = decode_saga(value)
        except UnreadableSaga as error:
            # A saga with a gap is better than a tracker that stands still, or dies at every start.
            self.trouble[UNREADABLE] += 1
            logger.error("saga %s begins anew, its row can't be read: %s", saga_id, error)  # noqa: TRY400
            return None
        self._cache.put_clean(saga)
        return saga

    def _encoded(self, saga: Saga) -> bytes | None:
        row = encode_saga(saga)
        if len(row) <= self._saga_bytes_max:
            return row
        self.trouble[TOO_LARGE] += 1
        logger.error(
            "saga %s has %d bytes and is not written. Raise SAGA_SAGA_BYTES, and max.message.bytes of the "
            "changelog topic with it, or find out who adds to it without end",
            saga.id,
            len(row),
        )
        return None
