"""The collector as a child of the tracker's process: the other end of `tracker.runtime.child`.

`python -m tracker.runtime.collecting LEVEL` runs it with the settings of the environment. Its standard input
is a pipe that nobody writes to: it closes when the tracker's process is gone, even by kill -9. On its
standard output it tells its figures, and in the end why it can't go on.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from threading import Thread

from saga.core.errors import SagaError
from saga.runtime.children import answering_pipe
from saga.runtime.garbage import calm_garbage_collector
from tracker.runtime.figures import Figures
from tracker.runtime.log import configure_logging
from tracker.runtime.parts import GARBAGE_OBJECTS, Parts
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.supervision import stopped_by_signals, together, unless_stopped
from tracker.runtime.told import Told, line_of

_TELL_SECONDS = 1.0
_LEAVE_SECONDS = 5.0
"""What is left to do after the grace that collectors have: a producer is stopped, a message told."""


def main(level: int) -> int:
    """Collect until told to stop, or until the tracker's process is gone; the exit code."""
    configure_logging(level, "collector")
    # It looks into the folder of flows so that it reads no event before it knows which payloads are needed.
    # What is wrong with the files is told by the tracker, once.
    logging.getLogger("tracker.runtime.flows").setLevel(logging.CRITICAL)
    calm_garbage_collector(GARBAGE_OBJECTS)
    pipe = answering_pipe()
    try:
        asyncio.run(_collect(TrackerSettings(), pipe))
    except SagaError as error:
        os.set_blocking(pipe, True)
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe, b"\n" + line_of(Told(ended=str(error))))
        return 1
    return 0


async def _collect(settings: TrackerSettings, pipe: int) -> None:
    stop = stopped_by_signals()
    leave_seconds = settings.stop_grace_ms / 1000 + _LEAVE_SECONDS
    watching = (asyncio.get_running_loop(), stop, leave_seconds)
    Thread(target=_end_with_parent, args=watching, daemon=True).start()
    figures = Figures("collector")
    parts = Parts(settings, figures, None, watches=False)
    await together(stop, leave_seconds, parts, Telling(figures, pipe))


class Telling:
    """Tells the figures once a second; nothing more to a tracker that does not listen, which may be paused.

    A part like the collector: should it fail, the process ends and is started again, since one that
    collects and does not tell would never be taken for ready.
    """

    def __init__(self, figures: Figures, pipe: int) -> None:
        self._figures = figures
        self._pipe = pipe

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until told to stop, or until nobody is there to listen."""
        file = os.fdopen(os.dup(self._pipe), "wb")
        transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, file)
        try:
            while not (stop.is_set() or transport.is_closing()):
                if not transport.get_write_buffer_size():
                    transport.write(line_of(_told(self._figures)))
                await unless_stopped(stop, asyncio.sleep(_TELL_SECONDS))
        finally:
            transport.close()  # and with it the file: closed alone, it would stay in the loop's selector


def _told(figures: Figures) -> Told:
    uncorrelated = ((topic, reason, times) for (topic, reason), times in figures.uncorrelated.items())
    lags = ((topic, number, lag.records, lag.seconds) for (topic, number), lag in figures.lags().items())
    return Told(figures.ready, figures.records, figures.restarts, tuple(uncorrelated), tuple(lags))


def _end_with_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, leave_seconds: float) -> None:
    """Stop in order when the parent is gone; and end in any case, should the event loop hang."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    with contextlib.suppress(RuntimeError):  # the loop has just been closed
        loop.call_soon_threadsafe(stop.set)
    time.sleep(leave_seconds)
    os._exit(1)


if __name__ == "__main__":
    code = main(int(sys.argv[1]))
    # Threads of clients that hang must not keep a process alive that has said goodbye.
    sys.stderr.flush()
    os._exit(code)
