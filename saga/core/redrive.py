"""A dead letter on its way back to its service: what its record carries besides the event.

It stands on its business topic once more, where every subscriber reads it. So it names the service
that it is for, and the others pass it over: they have handled the event, or don't want it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

REDRIVE_PREFIX = "saga_redrive_"
_LETTER = "saga_redrive_letter"
_BATCH = "saga_redrive_batch"
_REPLAYS = "saga_redrive_replays"
_HANDLER = "saga_redrive_handler"
_ORIGINAL = "saga_redrive_original"
_FOR = "saga_redrive_for"

_LAST = REDRIVE_PREFIX, "saga_retry_"
"""The last header of a redriven record is one of these: that of its redrive, or of a retry behind it."""

_REPLAYS_DIGITS_MAX = 9

Headers = Iterable[tuple[str, bytes | None]]


class Redrive(NamedTuple):
    """Why an event stands on its topic again.

    Attributes
    ----------
    letter : the dead letter, topic/partition/offset.
    batch : the id of the redrive.
    replays : how often the event has been redriven, this time included.
    service : that it is for; "" for every subscriber.
    handler : of this service that gave it up; "" where that is not known.
    original : the value as it was published, where it was edited since.
    """

    letter: str
    batch: str
    replays: int
    service: str = ""
    handler: str = ""
    original: bytes | None = None

    def is_for(self, service: str) -> bool:
        """Whether this service is to handle it."""
        return self.service in ("", service)

    def headers(self) -> list[tuple[str, bytes]]:
        """To be put behind those of the event: `read_redrive` looks at the last one first."""
        found = [] if self.original is None else [(_ORIGINAL, self.original)]
        return [
            *found,
            (_LETTER, self.letter.encode()),
            (_BATCH, self.batch.encode()),
            (_REPLAYS, b"%d" % self.replays),
            (_HANDLER, self.handler.encode()),
            (_FOR, self.service.encode()),
        ]


def read_redrive(headers: Sequence[tuple[str, bytes | None]]) -> Redrive | None:
    """The redrive that brought the record; None for one that was published or is only tried again."""
    if not headers or not headers[-1][0].startswith(_LAST):
        return None
    found = dict(headers)
    if _LETTER not in found:
        return None
    return Redrive(
        _text(found.get(_LETTER)),
        _text(found.get(_BATCH)),
        replays(found.items()),
        _text(found.get(_FOR)),
        _text(found.get(_HANDLER)),
        found.get(_ORIGINAL),
    )


def is_redriven(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    """Whether the record, of a business topic, is a dead letter that came back."""
    return bool(headers) and headers[-1][0].startswith(REDRIVE_PREFIX)


def replays(headers: Headers) -> int:
    """How often the event of these headers has been redriven; 0 where they do not say."""
    for name, value in headers:
        if name == _REPLAYS:
            text = _text(value)
            return int(text) if text.isdecimal() and len(text) <= _REPLAYS_DIGITS_MAX else 0
    return 0


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
