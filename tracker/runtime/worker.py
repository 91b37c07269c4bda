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
from saga.core.receipt import RECEIPTS_TOPIC, SERVICES_TOPIC
from saga.runtime.kafka import (
    AIOKafkaProducer,
    Topic,
    ensure_topics,
    partition_counts,
    until_available,
)
from tracker.core.collect import Uncorrelated
from tracker.core.frame import STEPS_TOPIC
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.runtime.announcements import Announcements
from tracker.runtime.collector import Collector
from tracker.runtime.recovery import RecoveryFailed
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.tracker import Tracker

logger = logging.getLogger(__name__)

_RESTART_FIRST_SECONDS = 0.5
_RESTART_MAX_SECONDS = 10.0
_HEALTHY_SECONDS = 30.0


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
            Something that another attempt won't mend: settings, rights, a table that can't be recovered.
        """
        loop = asyncio.get_running_loop()
        delay = _RESTART_FIRST_SECONDS
        with _locked(self._settings.state_dir):
            while not stop.is_set():
                begun = loop.time()
                try:
                    await self._run_once(stop)
                except (DeclarationError, RecoveryFailed):
                    raise
                except Exception as error:
                    if loop.time() - begun > _HEALTHY_SECONDS:
                        delay = _RESTART_FIRST_SECONDS
                    logger.warning("the tracker starts again in %g s, because of %r", delay, error)
                    logger.debug("it ended here", exc_info=True)
                    await _wait(stop, delay)
                    delay = min(delay * 2, _RESTART_MAX_SECONDS)

    async def _run_once(self, stop: asyncio.Event) -> None:
        settings = self._settings
        await until_available(settings)
        partitions = await _made_topics(settings)
        announcements = Announcements(settings)
        ended = asyncio.Event()
        async with _producer(settings) as producer:
            collector = Collector(settings, partitions, producer, announcements, self.uncorrelated)
            tracker = Tracker(settings, partitions, producer)
            parts = [
                asyncio.create_task(announcements.follow(), name="announcements"),
                asyncio.create_task(collector.run(ended), name="collector"),
                asyncio.create_task(tracker.run(ended), name="tracker"),
            ]
            told = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait((told, *parts), return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.set()
                told.cancel()
                parts[0].cancel()
                await _all_ended(parts, settings.stop_grace_ms / 1000)
        for part in parts:
            if part.done() and not part.cancelled():
                part.result()


async def _all_ended(parts: list[asyncio.Task[None]], within_seconds: float) -> None:
    _, late = await asyncio.wait(parts, timeout=within_seconds)
    for part in late:
        logger.warning("the %s did not end within %g s", part.get_name(), within_seconds)
        part.cancel()
    if late:
        await asyncio.wait(late, timeout=1.0)


async def _made_topics(settings: TrackerSettings) -> int:
    """Make the topics that the tracker needs; the number of partitions of the table."""
    compacted = {"cleanup.policy": "compact"}
    partitions = settings.steps_partitions
    counts = await partition_counts(settings, [STEPS_TOPIC, SAGAS_CHANGELOG_TOPIC])
    partitions = counts.get(STEPS_TOPIC, counts.get(SAGAS_CHANGELOG_TOPIC, partitions))
    await ensure_topics(
        settings,
        [
            Topic(STEPS_TOPIC, partitions),
            Topic(SAGAS_CHANGELOG_TOPIC, partitions, compacted),
            Topic(RECEIPTS_TOPIC),
            Topic(SERVICES_TOPIC, 1, compacted),
        ],
    )
    if counts.get(SAGAS_CHANGELOG_TOPIC, partitions) != partitions:
        raise DeclarationError(
            f"{STEPS_TOPIC} has {partitions} partitions and {SAGAS_CHANGELOG_TOPIC} has "
            f"{counts[SAGAS_CHANGELOG_TOPIC]}, but they must be as many. Delete the one that is younger"
        )
    return partitions


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


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def serve(settings: TrackerSettings) -> None:
    """Run a worker until SIGTERM or SIGINT."""
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


def main(settings: TrackerSettings | None = None) -> int:
    """Run a worker in this process; the process's exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
    _calm_garbage_collection()
    try:
        asyncio.run(serve(settings or TrackerSettings()))
    except SagaError as error:
        logger.critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    # Threads of Faust that hang must not keep a process alive that has said goodbye.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
