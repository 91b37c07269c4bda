"""What was just looked up need not be looked up again for each of the files of a page."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

RECENT_MS = 2_000
_KEPT_MAX = 10_000

Found = TypeVar("Found")


class Recent(Generic[Found]):
    """Rows of the last two seconds, or of another time, by key. What another process has changed meanwhile is
    seen after that.
    """

    def __init__(self, kept_ms: int = RECENT_MS) -> None:
        self._kept_ms = kept_ms
        self._rows: dict[str, tuple[int, Found]] = {}

    async def get(
        self, key: str, now_ms: int, look_up: Callable[[str], Awaitable[Found | None]]
    ) -> Found | None:
        """The row of this key; one that is not there is looked up each time, so that it is found at once."""
        known = self.known(key, now_ms)
        if known is not None:
            return known
        found = await look_up(key)
        if found is not None:
            self.put(key, now_ms, found)
        return found

    def known(self, key: str, now_ms: int) -> Found | None:
        """The row of this key, if it is one of these."""
        known = self._rows.get(key)
        return known[1] if known is not None and 0 <= now_ms - known[0] < self._kept_ms else None

    def put(self, key: str, now_ms: int, row: Found) -> None:
        """It is so at this time."""
        if len(self._rows) >= _KEPT_MAX:
            self._rows.clear()
        self._rows[key] = now_ms, row

    def clear(self) -> None:
        """Some have changed."""
        self._rows.clear()
