"""One process of the tracker: the collector and the tracker in one event loop, supervised.

`python -m tracker.runtime.worker` runs it with the settings of the environment.
"""

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from saga.core.errors import DeclarationError, SagaError
from saga.runtime.kafka import AIOKafkaProducer, until_available
from tracker.core.collect import Uncorrelated
from tracker.runtime.announcements import Announcements
from tracker.runtime.collector import Collector
from tracker.runtime.effects import Effects
from tracker.runtime.flows import FlowRegistry
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.log import configure_logging
from tracker.runtime.recovery import RecoveryFailed
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.supervision import Delays, together, unless_stopped
from tracker.runtime.topics import made_topics
from tracker.runtime.tracker import Tracker

logger = logging.getLogger(__name__)


class StateFolderInUse(SagaError):
    """Another tracker of this machine has the state folder. Give this one its own with --state-dir."""


class Worker:
    """Runs collector and tracker, and runs them anew when Kafka or Faust give up on them."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self.uncorrelated: Uncorrelated = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop.

        Raises
        ------
        SagaError
            Something that another attempt won't mend: no Kafka at the start, settings, rights, a table
            that can't be recovered.
        """
        with _locked(self._settings.state_dir):
            await unless_stopped(stop, until_available(self._settings))
            delays = Delays()
            while not stop.is_set():
                try:
                    await self._run_once(stop)
                except (DeclarationError, RecoveryFailed):
                    raise
                except Exception as error:
                    delay = delays.next()
                    logger.warning("the tracker starts again in %g s, because of %r", delay, error)
                    logger.debug("it ended here", exc_info=True)
                    await unless_stopped(stop, asyncio.sleep(delay))

    async def _run_once(self, stop: asyncio.Event) -> None:
        settings = self._settings
        partitions = await unless_stopped(stop, made_topics(settings))
        if partitions is None:
            return
        announcements = Announcements(settings)
        async with _producer(settings) as producer, Effects(settings) as effects:
            flows = FlowRegistry(settings, producer)
            known = Knowledge(announcements, flows)
            collector = Collector(settings, partitions, producer, announcements, known, self.uncorrelated)
            tracker = Tracker(settings, partitions, producer, effects, known)
            grace_seconds = settings.stop_grace_ms / 1000
            await together(stop, grace_seconds, announcements, flows, collector, tracker)


@contextlib.asynccontextmanager
async def _producer(settings: TrackerSettings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        enable_idempotence=True,
        acks="all",
        max_batch_size=512 * 1024,
        max_request_size=max(settings.frame_bytes, settings.saga_bytes) + 64 * 1024,
        request_timeout_ms=15_000,
    )
    await producer.start()
    try:
        yield producer
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(producer.stop(), 2.0)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateFolderInUse(
                f"{folder} belongs to a tracker that runs. Give this one a folder of its own: --state-dir, "
                "or SAGA_STATE_DIR"
            ) from error
        yield


async def _serve(settings: TrackerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Worker(settings).run(stop)


def _calm_garbage_collection() -> None:
    """Events and sagas have no cycles, but so many of them are made that collections would cost a quarter."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def main(settings: TrackerSettings | None = None, level: int = logging.INFO) -> int:
    """Run a worker until SIGTERM or SIGINT, in a process of its own; its exit code."""
    configure_logging(level)
    _calm_garbage_collection()
    try:
        asyncio.run(_serve(settings or TrackerSettings()))
    except SagaError as error:
        logger.critical("%s", error)
        return 1
    logger.info("stopped")
    return 0


if __name__ == "__main__":
    code = main()
    # Threads of Faust that hang must not keep a process alive that has said goodbye.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
