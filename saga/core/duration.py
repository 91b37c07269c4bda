"""Durations as people write them: `100ms`, `5s`, `30m`, `2h`, `1d`."""

import re
from decimal import Decimal

from saga.core.errors import DeclarationError

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def duration_ms(text: str) -> int:
    """Milliseconds of a duration: `duration_ms("1.5s") == 1500`.

    Raises
    ------
    DeclarationError
        The text is no number followed by ms, s, m, h or d.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise DeclarationError(f"{text!r} is no duration: write a number and ms, s, m, h or d, such as '10s'")
    return round(Decimal(match[1]) * _UNITS_MS[match[2]])


def duration_text(duration: int) -> str:
    """The shortest exact text of a duration in milliseconds: `duration_text(60_000) == "1m"`."""
    for unit, length in reversed(_UNITS_MS.items()):
        if duration and duration % length == 0:
            return f"{duration // length}{unit}"
    return f"{duration}ms"
