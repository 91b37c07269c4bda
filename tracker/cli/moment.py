"""Points in time for people and for programs, in UTC. Times come from producers: any number may come."""

from saga.core.envelope import rfc3339


def timestamp(at_ms: int) -> str:
    """RFC 3339, or the bare number where that is no date."""
    try:
        return rfc3339(at_ms).decode()
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def time_of_day(at_ms: int) -> str:
    """`10:00:00.014`."""
    return timestamp(at_ms).partition("T")[2].rstrip("Z") or timestamp(at_ms)


def date_and_time(at_ms: int) -> str:
    """`2025-10-09 12:00:00 UTC`."""
    text = timestamp(at_ms)
    return f"{text[:10]} {text[11:19]} UTC" if "T" in text else text
