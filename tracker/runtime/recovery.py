"""Faust's recovery of the table, watched from outside: it hides its errors, and it may stand still."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from saga.core.errors import SagaError

_LOGGER = "faust.tables.recovery"
_SWALLOWED = "Error in recovery"
_STALLED_SECONDS = 60.0


class RecoveryFailed(SagaError):
    """The saga table can't be made from its changelog. The message names the reason and the mend."""


@contextlib.contextmanager
def watched_recovery(fail: Callable[[BaseException], None]) -> Iterator[None]:
    """Call `fail` when Faust's recovery swallows an error, which leaves it waiting for ever.

    It logs the error and drops the record: the table would miss a saga, or the end of the changelog
    would never be reached.
    """
    loop = asyncio.get_running_loop()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if message.startswith(_SWALLOWED):
                loop.call_soon_threadsafe(fail, RecoveryFailed(_mend(message)))

    watch = Watch(logging.WARNING)
    logger = logging.getLogger(_LOGGER)
    logger.addHandler(watch)
    try:
        yield
    finally:
        logger.removeHandler(watch)


class Progress:
    """Whether the recovery still gets on, judged by the records that remain."""

    def __init__(self) -> None:
        self._remaining: int | None = None
        self._since = 0.0

    def check(self, app: Any, now: float) -> None:
        """To be called again and again, with a clock in seconds.

        Raises
        ------
        RecoveryFailed
            Not one record was recovered for a minute.
        """
        recovery = app.tables.recovery
        remaining = recovery.active_remaining_total() if app.in_recovery else None
        if remaining is None or remaining != self._remaining:
            self._remaining, self._since = remaining, now
        elif now - self._since > _STALLED_SECONDS:
            raise RecoveryFailed(
                _mend(f"{remaining} records remain, and none arrived for {_STALLED_SECONDS:g} s")
            )


def _mend(reason: str) -> str:
    return (
        f"the saga table can't be recovered from its changelog: {reason}. Start the tracker again; if that "
        "does not help, remove its state folder, and it reads the changelog from the beginning"
    )
