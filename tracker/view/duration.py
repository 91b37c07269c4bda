"""Durations for people: `3m 12s`, `42 s`, `12 ms`. Two units at most, never a third digit of doubt."""

_MINUTE_S = 60
_HOUR_S = 3_600
_DAY_S = 86_400


def human(duration_ms: float) -> str:
    """A duration in milliseconds as a person would say it; below zero with a minus sign."""
    if duration_ms < 0:
        return f"-{human(-duration_ms)}"
    if duration_ms < 1:
        return f"{duration_ms:.1f} ms" if duration_ms else "0 ms"
    if duration_ms < 999.5:
        return f"{duration_ms:.0f} ms"
    seconds = duration_ms / 1000
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m {whole % _MINUTE_S:02}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h {whole % _HOUR_S // _MINUTE_S:02}m"
    return f"{whole // _DAY_S}d {whole % _DAY_S // _HOUR_S:02}h"


def ordinal(number: int) -> str:
    """`2nd` for 2."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
