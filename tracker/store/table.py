"""The saga table: sagas on top, rows of bytes below; with what wakes them, and what they want done."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from saga.core.ids import derived_id
from tracker.core.account import Account, Census
from tracker.core.advance import World, advance
from tracker.core.clock import CLOCK_ROW
from tracker.core.effect import Alert, Effect
from tracker.core.errors import UnreadableSaga
from tracker.core.fold import fold, thinner
from tracker.core.frame import CommandSeen, Fact, HandedOn, Joined, Watermark, topic_of
from tracker.core.retention import in_time, leaving, may_leave
from tracker.core.saga import Saga, decode_saga, encode_saga
from tracker.core.watermark import Source
from tracker.store.cache import UNKNOWN, SagaCache
from tracker.store.clocks import Clocks
from tracker.store.deadlines import Deadlines
from tracker.store.heads import heads
from tracker.store.rocks import STORE_ROW, RocksRows

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable"
TOO_LARGE = "too-large"
THINNED = "thinned"
BROKEN = "broken"
CONTRADICTION = "contradiction"

ENDED = "ended"
SILENT = "silent"
ABANDONED = "abandoned"

LATE = "left"
"""The reason why a fact was told to no saga: it is so old that its saga may have left."""

_RESERVED = frozenset({STORE_ROW.decode(), CLOCK_ROW})
"""No saga can have these ids: its row would overwrite the offset of the database, or the clock."""

_SCANNED_ROWS = 10_000
"""Rows of one step of a scan: some 15 ms."""

_TELLING_PARTITION = 0
"""Every partition has a clock, and all of them see the same sources: one of them raises the alarm."""


class Taken(NamedTuple):
    """What is to be written: the rows that changed, by partition, and what they want done before."""

    rows: dict[int, dict[bytes, bytes | None]]
    effects: list[Effect]


class SagaTable:
    """Sagas by partition, written behind: changes stay in memory until a commit takes them.

    A partition is opened once it is ours and its rows are there: its clock is restored, and the
    deadlines of its sagas are read. `forget` ends that for all partitions.

    Attributes
    ----------
    trouble, left, late : see `tracker.core.account.Account`.
    """

    def __init__(
        self,
        rows: RocksRows,
        cache: SagaCache,
        saga_bytes_max: int,
        source_gone_ms: int,
        account: Account | None = None,
    ) -> None:
        self._rows = rows
        self._cache = cache
        self._saga_bytes_max = saga_bytes_max
        self._source_gone_ms = source_gone_ms
        self._clocks = Clocks(source_gone_ms)
        self._deadlines = Deadlines()
        self._effects: list[Effect] = []
        self._account = account or Account()
        self._census = Census()
        self._folded_ms: dict[int, int | None] = {}  # up to then everything has been told to the sagas
        self._swept: dict[int, bytes] = {}
        self.trouble = self._account.trouble
        self.left = self._account.left
        self.late = self._account.late

    @property
    def in_flight(self) -> Counter[tuple[str, str]]:
        """How many sagas of known flows are in flight, by flow and status."""
        return self._census.total()

    @property
    def cached_count(self) -> int:
        """How many unchanged sagas are kept decoded."""
        return self._cache.clean_count

    @property
    def open_partitions(self) -> list[int]:
        """The partitions that are open."""
        return self._clocks.partitions

    @property
    def dirty_count(self) -> int:
        """How many sagas changed since `take`, and how many effects are wanted: a saga that hands on what it
        is told has those alone.
        """
        return self._cache.dirty_count + len(self._effects)

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
        self._census.begin(partition)
        last: bytes | None = None
        while rows := self._rows.scan(partition, last, _SCANNED_ROWS):
            found = list(heads(rows))
            self._deadlines.scan(partition, found)
            for head in found:
                if head.course is not None:
                    self._census.count(partition, None, head.course)
            last = rows[-1][0]
            yield
        self._deadlines.scanned(partition)
        [clock] = self._rows.get_many(partition, [CLOCK_ROW.encode()])
        self._clocks.open(partition, clock)
        self._folded_ms[partition] = self._clocks.now_ms(partition)

    def clock_frame(self, partition: int) -> int:
        """The offset of the last frame that the clock of an open partition has taken in, -1 for none."""
        return self._clocks.frame(partition)

    def recall(self, partition: int, watermarks: Iterable[Watermark], frame_ms: int, frame: int) -> None:
        """Move the clock of an open partition on by a frame whose facts its sagas know already."""
        self.observe(partition, watermarks, frame_ms, frame)
        self._folded_ms[partition] = self._clocks.now_ms(partition)

    def observe(self, partition: int, watermarks: Iterable[Watermark], frame_ms: int, frame: int) -> None:
        """Move the clock of an open partition on, by what a frame says of its sources.

        `frame_ms` is the timestamp of its record, `frame` its offset.
        """
        reckoned = self._clocks.observe(partition, watermarks, frame_ms, frame)
        if partition == _TELLING_PARTITION:
            for source in reckoned.gone:
                self._tell_gone(source, self._clocks.watermark(partition, source), frame_ms)
            for topic, number in reckoned.returned:
                logger.info("%s-%d is read again, and time waits for it again", topic, number)

    def fold(self, partition: int, facts: Mapping[str, Sequence[Fact]], world: World) -> None:
        """Fold the facts of one frame into its sagas. Never waits, and so is never interrupted.

        The time of the frame is that behind its facts. So who leaves, and what is too late, is judged by
        the time before it: a tracker that was down for long reads all it has missed in a moment.
        """
        sagas = self._sagas(partition, facts)
        before_ms, now_ms = self._folded_ms.get(partition), self._clocks.now_ms(partition)
        for saga_id, told in facts.items():
            if saga_id in _RESERVED:
                continue
            saga, news = sagas[saga_id], told
            if before_ms is not None and (
                saga is None or may_leave(saga.heard_ms, saga.due_ms, before_ms, world.retention)
            ):
                saga, news = self._admitted(partition, saga, saga_id, told, before_ms, world)
                if saga is None and not news:
                    continue
            after = self._advanced(partition, saga, saga_id, news, now_ms, world)
            self._deadlines.put(partition, saga_id, -1 if after is None else after.due_ms)
        self._folded_ms[partition] = now_ms

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

    def sweep(self, partition: int, world: World, rows_max: int) -> None:
        """Look at so many further rows of an open partition for sagas whose time has come to leave.

        Never waits. Round and round: what it does not reach now leaves later, and is gone all the same for
        whoever tells of it (`fold`).
        """
        now_ms = self._folded_ms.get(partition)
        if now_ms is None:
            return
        last = self._swept.pop(partition, None)
        rows = self._rows.scan(partition, last, rows_max)
        if not rows and last is not None:
            rows = self._rows.scan(partition, None, rows_max)
        if rows:
            self._swept[partition] = rows[-1][0]
        candidates = [
            head.id for head in heads(rows) if may_leave(head.heard_ms, head.due_ms, now_ms, world.retention)
        ]
        for saga in self._sagas(partition, candidates).values():
            if saga is not None:
                self._leave(partition, saga, now_ms, world)

    def take(self) -> Taken:
        """What changed. `written` must follow before it is called again."""
        rows: dict[int, dict[bytes, bytes | None]] = {
            partition: self._encoded(sagas) for partition, sagas in self._cache.take_dirty().items()
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
        self._census.forget()
        self._folded_ms.clear()
        self._swept.clear()
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
            told = [fact for fact in facts if not isinstance(fact, CommandSeen | Joined | HandedOn)]
            after, effects = (fold(before, saga_id, told) if told else None), []
        if effects:
            self._effects.extend(effects)
            contradictions = sum(_contradicts(effect) for effect in effects)
            if contradictions:
                self.trouble[CONTRADICTION] += contradictions
        if after is not None and after is not before:
            self._cache.put_dirty(partition, saga_id, after)
            known = None if before is None else before.course
            if after.course is not known:
                self._account.decided(known, after)
                self._census.count(partition, known, after.course)
        return after

    def _admitted(
        self,
        partition: int,
        saga: Saga | None,
        saga_id: str,
        facts: Sequence[Fact],
        now_ms: int,
        world: World,
    ) -> tuple[Saga | None, Sequence[Fact]]:
        """The saga unless its time has come to leave; then the facts but for those that are too late."""
        if saga is not None and not self._leave(partition, saga, now_ms, world):
            return saga, facts
        facts, late = in_time(facts, now_ms, world.retention)
        if late:
            self._tell_late(saga_id, late)
        return None, facts

    def _leave(self, partition: int, saga: Saga, now_ms: int, world: World) -> bool:
        """Remove the saga if its time has come; whether it has."""
        how = leaving(saga, now_ms, world.subscriptions, world.retention)
        if how is None:
            return False
        self.left[ENDED if how.ended else SILENT if how.alert is None else ABANDONED] += 1
        if how.alert is not None:
            self._effects.append(how.alert)
        self._cache.put_dirty(partition, saga.id, None)
        self._census.count(partition, saga.course, None)
        return True

    def _tell_late(self, saga_id: str, facts: Iterable[Fact]) -> None:
        for fact in facts:
            topic = topic_of(fact)
            if not self.late[topic, LATE]:
                logger.warning(
                    "saga %s is not known, and what %s tells of it is older than ended sagas are kept: "
                    "it is left out, as all that follows of this kind. Was a group set back to old offsets?",
                    *(saga_id, topic),
                )
            self.late[topic, LATE] += 1

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
        sagas: dict[str, Saga | None] = {}
        missing = []
        for saga_id in saga_ids:
            found = get(partition, saga_id)
            if found is UNKNOWN:
                missing.append(saga_id)
                sagas[saga_id] = None
            else:
                sagas[saga_id] = found
        if missing:
            missing.sort()  # neighbours are in one block: a quarter less to look for
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

    def _encoded(self, sagas: dict[str, Saga | None]) -> dict[bytes, bytes | None]:
        """The rows of these sagas; in place of those that were too large stand thinner ones afterwards."""
        rows: dict[bytes, bytes | None] = {}
        for saga_id, saga in sagas.items():
            row = None if saga is None else encode_saga(saga)
            if row is not None and saga is not None and len(row) > self._saga_bytes_max:
                sagas[saga_id] = saga = self._thinned(saga, len(row))
                row = encode_saga(saga)
                if len(row) > self._saga_bytes_max:
                    self._tell_too_large(saga_id, len(row))
                    continue
            rows[saga_id.encode()] = row
        return rows

    def _thinned(self, saga: Saga, size: int) -> Saga:
        """The saga with so few of its steps that it fits into its row, if that is possible."""
        self.trouble[THINNED] += 1
        logger.warning(
            "saga %s has %d bytes: of its %d events only a sample is kept. Raise SAGA_SAGA_BYTES, and "
            "max.message.bytes of the changelog topic with it, or find out who adds to it without end",
            *(saga.id, size, saga.events),
        )
        while size > self._saga_bytes_max and (after := thinner(saga)) is not saga:
            saga, size = after, len(encode_saga(after))
        return saga

    def _tell_too_large(self, saga_id: str, size: int) -> None:
        self.trouble[TOO_LARGE] += 1
        logger.error(
            "saga %s has %d bytes and is not written. Raise SAGA_SAGA_BYTES, and max.message.bytes of the "
            "changelog topic with it, or find out who adds to it without end",
            *(saga_id, size),
        )


def _contradicts(effect: Effect) -> bool:
    return isinstance(effect, Alert) and effect.cause == CONTRADICTION
