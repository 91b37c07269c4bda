"""The time of one partition of `saga.steps`: how far the whole system has been read (DESIGN, section 5).

Time is the least watermark of all source partitions that anybody has ever reported. It stands still
while a source stands still, or is not read: what has not been read may be what somebody waits for.

It goes back in one case only: when a source counts that did not count before, and has been read less
far. What was told stays told; but the sagas whose events lie there are judged by the time of their
events, and not by that of sources which were known before.

A source that stops for good must not stop time for good. The rule: a source of which no collector
has sent a real watermark for `gone_after_ms` of *activity* is gone. It is listed, alerted, and holds
up time no longer, until somebody reads it again. Activity is time during which frames arrive: what
lies between two frames counts as one second at most, so that an outage of everything, however long,
takes no source away. A source that is read but does not move (an open transaction, a silent broker)
is reported, so it is not gone, and holds time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import DecodeError, Struct, msgpack

from tracker.core.frame import HELD_MS, UNREAD_MS, Watermark
from tracker.core.watermark import Source

CLOCK_VERSION = 2

CLOCK_ROW = "__saga\0clock__"
"""The key of the clock in its partition of the saga table. No saga can have this id."""

GAP_MS_MAX = 1_000
"""What lies between two frames counts as so much activity at most."""

FORGOTTEN_AFTER = 100
"""A source that is gone and that nobody mentions is listed for so many times `gone_after_ms`."""


class Reckoned(NamedTuple):
    """What a frame made of the sources: `changed` says whether others count now than before it."""

    changed: bool
    gone: tuple[Source, ...] = ()
    returned: tuple[Source, ...] = ()


@dataclass(slots=True)
class _Heard:
    """What is known of a source: its watermark, and in activity time when it was told and when mentioned."""

    at_ms: int
    told_ms: int
    mentioned_ms: int
    gone: bool = False


class _KeptSource(Struct, frozen=True, array_like=True, gc=False):
    topic: str
    partition: int
    at_ms: int
    gone: bool


class _KeptClock(Struct, frozen=True, array_like=True, gc=False):
    version: int
    sources: list[_KeptSource]
    frame: int


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(_KeptClock)


class PartitionClock:
    """The clock of a partition; `kept` is what `encode` gave before a restart.

    After a restart every source has its `gone_after_ms` anew, and the time until the first frame is no
    activity. So a clock that goes on from an older state is never ahead of the one that wrote it; and once
    it has taken in the frames behind `frame`, it is where that one was.

    Attributes
    ----------
    frame : the offset of the last frame that was taken in, -1 for none.

    Raises
    ------
    msgspec.DecodeError
        `kept` is no clock of this version.
    """

    def __init__(self, gone_after_ms: int, kept: bytes | None = None) -> None:
        self._gone_after_ms = gone_after_ms
        self._sources: dict[Source, _Heard] = {}
        self._active_ms = 0
        self._frame_ms: int | None = None
        self._now_ms: int | None = None
        self.frame = -1
        if kept is not None:
            self._restore(kept)

    @property
    def now_ms(self) -> int | None:
        """Everything up to this moment has been read; None as long as some source was never read."""
        return self._now_ms

    @property
    def active_ms(self) -> int:
        """Activity since the clock was made or restored."""
        return self._active_ms

    @property
    def gone(self) -> tuple[Source, ...]:
        """The sources that are left out because nobody reads them, sorted."""
        return tuple(sorted(source for source, heard in self._sources.items() if heard.gone))

    def watermark(self, source: Source) -> int | None:
        """How far this source has been read; None if nobody has told that."""
        heard = self._sources.get(source)
        return None if heard is None or heard.at_ms <= HELD_MS else heard.at_ms

    def observe(self, watermarks: Iterable[Watermark], frame_ms: int, frame: int) -> Reckoned:
        """Take in what a frame says; `frame_ms` is the timestamp of its record, `frame` its offset."""
        self.frame = frame
        if self._frame_ms is not None and frame_ms > self._frame_ms:
            self._active_ms += min(frame_ms - self._frame_ms, GAP_MS_MAX)
        self._frame_ms = frame_ms if self._frame_ms is None else max(self._frame_ms, frame_ms)
        before = len(self._sources)
        returned = tuple([source for mark in watermarks if (source := self._take(mark)) is not None])
        appeared = len(self._sources) != before
        gone, forgotten = self._missing()
        self._reckon()
        return Reckoned(appeared or forgotten or bool(gone or returned), gone, returned)

    def encode(self) -> bytes:
        """The clock as bytes, to be restored from."""
        sources = [
            _KeptSource(topic, partition, heard.at_ms, heard.gone)
            for (topic, partition), heard in self._sources.items()
        ]
        return _encoder.encode(_KeptClock(CLOCK_VERSION, sources, self.frame))

    def _take(self, mark: Watermark) -> Source | None:
        """Take in a watermark; the source if it was gone and is back."""
        source, at_ms, active_ms = (mark.topic, mark.partition), mark.at_ms, self._active_ms
        heard = self._sources.get(source)
        if heard is None:
            self._sources[source] = _Heard(max(at_ms, UNREAD_MS), active_ms, active_ms)
            return None
        heard.mentioned_ms = active_ms
        if at_ms <= UNREAD_MS:
            return None
        heard.told_ms = active_ms
        if at_ms > heard.at_ms:
            heard.at_ms = at_ms
        if not heard.gone:
            return None
        heard.gone = False
        return source

    def _missing(self) -> tuple[tuple[Source, ...], bool]:
        """The sources that are gone since this frame, and whether some are forgotten."""
        gone = []
        forgotten = []
        oldest_ms = self._active_ms - self._gone_after_ms
        for source, heard in self._sources.items():
            if heard.told_ms >= oldest_ms:
                continue
            if not heard.gone:
                heard.gone = True
                gone.append(source)
            elif heard.mentioned_ms < self._active_ms - FORGOTTEN_AFTER * self._gone_after_ms:
                forgotten.append(source)
        for source in forgotten:
            del self._sources[source]
        return tuple(gone), bool(forgotten)

    def _reckon(self) -> None:
        least = min((heard.at_ms for heard in self._sources.values() if not heard.gone), default=UNREAD_MS)
        self._now_ms = None if least <= HELD_MS else least

    def _restore(self, kept: bytes) -> None:
        clock = _decoder.decode(kept)
        if clock.version != CLOCK_VERSION:
            raise DecodeError(f"a clock of version {clock.version}, but this tracker reads {CLOCK_VERSION}")
        self.frame = clock.frame
        for source in clock.sources:
            told_ms = -self._gone_after_ms - 1 if source.gone else 0
            self._sources[source.topic, source.partition] = _Heard(source.at_ms, told_ms, 0, source.gone)
        self._reckon()
