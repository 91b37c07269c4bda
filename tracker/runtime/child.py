"""The collector in a process of its own, so that both halves of the tracker have a processor.

The tracker's process is the parent. It starts the child, starts it again when it dies, and ends with the
child's message when the child says that it can't go on. The child ends with its parent: a pipe closes.
"""

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping

from pydantic import SecretStr

from saga.core.errors import SagaError
from saga.runtime.children import how_it_ended
from tracker.core.lag import SourceLag
from tracker.core.watermark import Source
from tracker.runtime.figures import Figures
from tracker.runtime.settings import TrackerSettings
from tracker.runtime.supervision import Delays, unless_stopped
from tracker.runtime.told import Told, told_by

logger = logging.getLogger(__name__)

_LINE_BYTES_MAX = 16 * 1024 * 1024
"""Of a message: some 50 bytes for each partition that is read."""
_LEAVE_SECONDS = 3.0


class CollectorEnded(SagaError):
    """The collector can't go on, and says why: no Kafka, settings, rights. Another attempt won't mend it."""


class CollectorProcess:
    """Runs the collector, anew when its process dies. Its figures become those of this process."""

    def __init__(self, settings: TrackerSettings, figures: Figures) -> None:
        self._environment = {**os.environ, **_variables(settings)}
        self._leave_seconds = settings.stop_grace_ms / 1000 + _LEAVE_SECONDS
        self._figures = figures
        self._told = Told()
        self._pid = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop; the child is gone then.

        Raises
        ------
        CollectorEnded
            The message is the child's.
        """
        delays = Delays()
        self._figures.collects(self)
        while not stop.is_set():
            try:
                how = how_it_ended(await self._run_once(stop))
            except OSError as error:  # no memory or no descriptors for another process at this moment
                how = str(error)
            if stop.is_set():
                return
            if self._told.ended:
                raise CollectorEnded(self._told.ended)
            delay = delays.next()
            self._figures.restarts += 1
            logger.warning(
                "the collector's process ended by itself (%s) and starts again in %g s", how, delay
            )
            await unless_stopped(stop, asyncio.sleep(delay))

    @property
    def pid(self) -> int:
        """Its process; 0 while there is none."""
        return self._pid

    @property
    def ready(self) -> bool:
        """Whether it collects."""
        return self._told.ready

    def lags(self) -> Mapping[Source, SourceLag]:
        """The partitions it reads, as it said a second ago at most."""
        return self._told.by_source()

    async def _run_once(self, stop: asyncio.Event) -> int:
        """Run a child until it ends or we are told to stop; its exit code."""
        process = await asyncio.create_subprocess_exec(
            # -P: a folder named `tracker` where we were started is not this package.
            *(sys.executable, "-P", "-m", "tracker.runtime.collecting", str(logging.getLogger().level)),
            stdin=PIPE,
            stdout=PIPE,
            env=self._environment,
            limit=_LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C in the terminal is for us alone, and we tell it
        )
        self._pid = process.pid
        self._told = Told()
        try:
            await unless_stopped(stop, self._listen(process))
            if stop.is_set():
                await self._end(process)
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            self._pid = 0
            self._told = Told(ended=self._told.ended)

    async def _listen(self, process: Process) -> None:
        """Take what it tells, until it has closed its end."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            told = told_by(line)
            if told is not None:
                self._take(told)
        await process.wait()

    def _take(self, told: Told) -> None:
        if told.ended:
            self._told = told
            return
        # Of counters what is new: a process that was started again counts from zero.
        before, self._told = self._told, told
        self._figures.records += told.records - before.records
        self._figures.restarts += told.restarts - before.restarts
        self._figures.uncorrelated += told.counts() - before.counts()

    async def _end(self, process: Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self._leave_seconds)
        except TimeoutError:
            logger.warning("the collector's process did not end within %g s", self._leave_seconds)
            process.kill()


def _variables(settings: TrackerSettings) -> dict[str, str]:
    """The environment that gives a child the same settings, whether they came from there or from options."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    child = given | {"parts": "collector", "metrics_port": 0}
    return {
        f"SAGA_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in child.items()
    }
