"""Logging of the process: one line for each thing that happens, and not for each time it does."""

import logging
import threading
import time

_FORMAT = "%%(asctime)s %%(levelname)-7s %(part)s%%(name)s: %%(message)s"
_CLIENTS = ("faust", "mode", "aiokafka", "asyncio")
_REPEAT_SECONDS = 10.0
_REMEMBERED_MAX = 1000

logger = logging.getLogger(__name__)


def configure_logging(level: int, part: str = "") -> None:
    """Log to standard error. Clients tell of trouble only, and the same trouble every ten seconds.

    `part` stands in each line, where several processes write the same log.
    """
    logging.basicConfig(level=level, format=_FORMAT % {"part": f"[{part}] " if part else ""})
    for name in _CLIENTS:
        logging.getLogger(name).setLevel(logging.WARNING if level >= logging.INFO else logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Repeats())
    threading.excepthook = _thread_ended


class _Repeats(logging.Filter):
    """Drops what a client has just said: while no broker is there, it says so many times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_CLIENTS):
            return True
        said = record.name, record.getMessage()
        now = time.monotonic()
        if now - self._said_at.get(said, float("-inf")) < _REPEAT_SECONDS:
            return False
        if len(self._said_at) >= _REMEMBERED_MAX:
            self._said_at.clear()
        self._said_at[said] = now
        return True


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    # Faust's consumer runs in a thread, which may end with an error when no broker answers any more.
    logger.warning("a thread ended: %s: %s", args.exc_type.__name__, args.exc_value)
