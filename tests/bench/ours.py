"""The hop as a saga service: exactly-once, receipts included, as `saga run` would run it."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from saga import Service
from saga.core.outcome import Outcome, Output
from saga.runtime.garbage import calm_garbage_collector
from saga.runtime.kafka import ConsumerRecord
from saga.runtime.settings import ServiceSettings
from saga.runtime.telemetry import Silence
from saga.runtime.worker import GARBAGE_OBJECTS, Worker
from tests.bench.contest import Heat, Stopwatch
from tests.bench.sample import SampleOrder, SampleReserved, reserve


class _Timing(Silence):
    """Stops the time at the service's own polls and commits."""

    def __init__(self, watch: Stopwatch) -> None:
        self._watch = watch

    def polled(self, records: Sequence[ConsumerRecord], seconds: float) -> None:
        self._watch.polled()

    @contextlib.contextmanager
    def commit(self, outputs: Sequence[Output], outcomes: Sequence[Outcome]) -> Iterator[None]:
        yield
        self._watch.committed(len(outcomes))


async def exactly_once(heat: Heat) -> float:
    """One handler; the topics are those of the sample events."""
    service = Service(heat.group)

    @service.on(SampleOrder)
    async def set_aside(placed: SampleOrder) -> SampleReserved:
        return reserve(placed)

    calm_garbage_collector(GARBAGE_OBJECTS)  # as `saga run` does
    watch = Stopwatch(heat.records)
    worker = Worker(service, ServiceSettings(bootstrap_servers=heat.bootstrap_servers), _Timing(watch))
    running = asyncio.create_task(worker.run())
    await watch.finished.wait()
    worker.stop()
    await running
    return watch.seconds
