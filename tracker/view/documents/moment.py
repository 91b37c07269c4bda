"""Points in time, in UTC. Times come from producers: any number may come."""

from datetime import UTC, datetime, timedelta

from saga.core.envelope import rfc3339

_EPOCH = datetime.fromtimestamp(0, UTC)
_MILLISECOND = timedelta(milliseconds=1)


def timestamp(at_ms: int) -> str:
    """RFC 3339, or the bare number where that is no date."""
    try:
        return rfc3339(at_ms).decode()
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def moment(at_ms: int) -> str | None:
    """The same; None for what is below zero: it has not happened."""
    return None if at_ms < 0 else timestamp(at_ms)


def read_timestamp(text: str) -> int:
    """What `timestamp` was made of, milliseconds since the epoch.

    Raises
    ------
    ValueError
        It is no such text.
    """
    if text.endswith(" ms"):
        return int(text.removesuffix(" ms"))
    return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
