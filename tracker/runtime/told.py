"""What the collector says to the tracker when each has a process of its own: a line for each message."""

from collections import Counter
from collections.abc import Mapping

from msgspec import DecodeError, Struct, json

from tracker.core.collect import Uncorrelated
from tracker.core.lag import SourceLag
from tracker.core.watermark import Source


class Told(Struct, frozen=True):
    """The collector's figures, counted since its process began. `ended` says why it will not go on."""

    ready: bool = False
    records: int = 0
    restarts: int = 0
    uncorrelated: tuple[tuple[str, str, int], ...] = ()
    lags: tuple[tuple[str, int, int, float], ...] = ()
    ended: str = ""

    def counts(self) -> Uncorrelated:
        """What no saga was told about, by topic and reason."""
        return Counter({(topic, reason): times for topic, reason, times in self.uncorrelated})

    def by_source(self) -> Mapping[Source, SourceLag]:
        """How far each partition has not been read."""
        return {(topic, number): SourceLag(records, seconds) for topic, number, records, seconds in self.lags}


def line_of(told: Told) -> bytes:
    """The line of a message."""
    return json.encode(told) + b"\n"


def told_by(line: bytes) -> Told | None:
    """The message of a line; None if it is none: the last one of a process that was killed is cut."""
    try:
        return _decoder.decode(line)
    except (DecodeError, UnicodeDecodeError):
        return None


_decoder = json.Decoder(Told)
