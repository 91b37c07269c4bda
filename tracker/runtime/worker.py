"""`saga track`: the tracker, and the collector in the same event loop or in a process of its own, supervised.

`python -m tracker.runtime.worker` runs it with the settings of the environment.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from saga.core.errors import SagaError
from saga.runtime.garbage import calm_garbage_collector
from saga.runtime.kafka import AIOKafkaProducer
from tracker.runtime.child import CollectorProcess
from tracker.runtime.effects import Effects
from tracker.runtime.endpoint import Endpoint
from tracker.runtime.figures import Figures
from tracker.runtime.knowledge import Knowledge
from tracker.runtime.log import configure_logging
from tracker.runtime.metrics import Metrics
from tracker.runtime.parts import GARBAGE_OBJECTS, Parts
from tracker.runtime.platform import KafkaPlatform
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.supervision import stopped_by_signals, together
from tracker.runtime.topics import Cluster
from tracker.runtime.tracker import Tracker

logger = logging.getLogger(__name__)

_LEAVE_SECONDS = 5.0
"""What is left to do after the grace that the parts have: clients are stopped, a child is ended."""


class StateFolderInUse(SagaError):
    """Another tracker of this machine has the state folder. Give this one its own with --state-dir."""


def main(settings: TrackerSettings | None = None, level: int = logging.INFO) -> int:
    """Run the tracker until SIGTERM or SIGINT, in a process of its own; its exit code."""
    configure_logging(level)
    calm_garbage_collector(GARBAGE_OBJECTS)
    try:
        asyncio.run(_serve(settings or TrackerSettings()))
    except SagaError as error:
        logger.critical("%s", error)
        return 1
    logger.info("stopped")
    return 0


async def _serve(settings: TrackerSettings) -> None:
    stop = stopped_by_signals()
    with _locked(settings.state_dir) if settings.parts != "collector" else contextlib.nullcontext():
        figures = Figures(settings.parts)
        if not _apart(settings):
            async with _endpoint(settings, figures, Metrics(figures)):
                await _parts(settings, figures).run(stop)
            return
        collector = CollectorProcess(settings, figures)
        tracker = _parts(settings.model_copy(update={"parts": "tracker"}), figures)
        async with _endpoint(settings, figures, Metrics(figures, lambda: collector.pid)):
            await together(stop, settings.stop_grace_ms / 1000 + _LEAVE_SECONDS, tracker, collector)


def _parts(settings: TrackerSettings, figures: Figures) -> Parts:
    def tracker(
        cluster: Cluster, producer: AIOKafkaProducer, effects: Effects, knowledge: Knowledge
    ) -> Tracker:
        platform = KafkaPlatform(settings, cluster)
        return Tracker(settings, platform, producer, effects, knowledge, figures)

    return Parts(settings, figures, None if settings.parts == "collector" else tracker)


def _apart(settings: TrackerSettings) -> bool:
    """Whether the collector gets a process of its own."""
    if settings.parts != "all":
        return False
    if settings.processes == "auto":
        return _processors() > 1
    return settings.processes == "2"


def _processors() -> int:
    """Those that this process may use, where the system tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _endpoint(settings: TrackerSettings, figures: Figures, metrics: Metrics) -> Endpoint:
    return Endpoint(settings.metrics_host, settings.metrics_port, metrics, figures.unready)


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


if __name__ == "__main__":
    code = main()
    # Threads of Faust that hang must not keep a process alive that has said goodbye.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
