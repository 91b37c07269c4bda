"""Works on bulk jobs, one at a time, oldest first; goes on where the one before was killed."""

import asyncio
import contextlib
import logging
import secrets
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator

from msgspec import json

from saga.core.errors import SagaError
from saga.runtime.kafka import KafkaError
from saga.runtime.settings import KafkaSettings
from tracker.jobs.commands import Commands
from tracker.jobs.job import command_of, letters_of, result
from tracker.runtime.redrive import Manner, Progress, redrive
from tracker.view.model.jobs import JobRow, JobState, JobStore

logger = logging.getLogger(__name__)

LEASE_MS = 30_000
"""Whoever has said nothing about its job for so long is taken for dead."""

_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 5.0
_ITEMS_MAX = 100
_ANSWER_SECONDS = 30.0


class _Hold:
    """Whether to go on with a job: `stop` tells to end, and `lost` that it is somebody else's now."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.lost = False


class Runner:
    """Any number of them may work on the jobs of a database: each job is one's at a time."""

    def __init__(
        self,
        settings: KafkaSettings,
        store: JobStore,
        *,
        answer_seconds: float = _ANSWER_SECONDS,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self._settings = settings
        self._store = store
        self._name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._answer_seconds = answer_seconds
        self._lease_ms = lease_ms

    async def run(self) -> None:
        """Run until cancelled. What Kafka or the database does wrong is tried again."""
        while True:
            try:
                job = await asyncio.to_thread(self._store.claim, self._name, _now_ms(), self._lease_ms)
                if job is None:
                    await asyncio.sleep(_LOOK_SECONDS)
                    continue
                await self._work(job)
            except Exception:
                logger.warning("jobs: trying again in %g s", _AGAIN_SECONDS, exc_info=True)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _work(self, job: JobRow) -> None:
        counts: Counter[str] = Counter()
        hold = _Hold()
        keeping = asyncio.create_task(self._keep(job, counts, hold))
        state: JobState = "done"
        try:
            work = self._redrive if job.action == "redrive" else self._command
            message = await work(job, counts, hold.stop)
        except KafkaError:
            raise  # the lease ends, and somebody goes on with it
        except SagaError as error:
            state, message = "failed", str(error)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        if hold.lost:
            return
        if hold.stop.is_set():
            state = "aborted"
        await asyncio.to_thread(
            self._store.end, job.id, self._name, state, message, _encoded(counts), _now_ms()
        )

    async def _keep(self, job: JobRow, counts: Counter[str], hold: "_Hold") -> None:
        """Say again and again that we work on it, and hear whether to end."""
        going_on: bool | None = True
        while going_on:
            try:
                going_on = await asyncio.to_thread(
                    self._store.keep, job.id, self._name, _now_ms() + self._lease_ms, _encoded(counts)
                )
            except Exception:
                logger.warning("job %s: it can't be said that it is worked on", job.id, exc_info=True)
                going_on = None
            await asyncio.sleep(_LOOK_SECONDS if going_on else 0)
        hold.lost = going_on is None
        hold.stop.set()

    async def _command(self, job: JobRow, counts: Counter[str], stop: asyncio.Event) -> str:
        counts.update(await asyncio.to_thread(self._store.counts, job.id))
        async with Commands(self._settings, job.made_ms) as commands:
            while not stop.is_set():
                size = max(1, min(_ITEMS_MAX, int(job.rate)))
                items = await asyncio.to_thread(self._store.items, job.id, -1, size, "waiting")
                if not items:
                    return ""
                began = time.monotonic()
                asked = {item.number: command_of(job, item) for item in items}
                replies = await commands.ask(list(asked.values()), self._answer_seconds, stop)
                if stop.is_set():
                    # What was sent stays sent: the same commands are given if it is gone on with.
                    asked = {number: command for number, command in asked.items() if command.id in replies}
                results = {}
                for number, command in asked.items():
                    results[number] = result(replies.get(command.id))
                await asyncio.to_thread(self._store.settle, job.id, results)
                for state, _ in results.values():
                    counts[state] += 1
                    counts["waiting"] -= 1
                await _pause(began + len(items) / job.rate - time.monotonic(), stop)
        return ""

    async def _redrive(self, job: JobRow, counts: Counter[str], stop: asyncio.Event) -> str:
        letters = letters_of(job)
        manner = Manner(
            job.by,
            job.reason,
            job.id,
            letters.batch_limit,
            job.rate,
            letters.failed_max,
            letters.replays_max,
            letters.wait_seconds,
            letters.service_for,
        )

        async def told(progress: Progress) -> None:
            counts.clear()
            counts.update(counts_of(progress))

        progress = await redrive(self._settings, letters.selection(), manner, told, stop)
        await told(progress)
        return progress.stopped


def counts_of(progress: Progress) -> dict[str, int]:
    """How far a redrive is, as numbers with names."""
    heard: dict[str, int] = {what or "unanswered": count for what, count in progress.heard.items()}
    return {"redriven": progress.redriven, "parked": progress.parked, **heard, "left": progress.left.total()}


@contextlib.asynccontextmanager
async def running_jobs(settings: KafkaSettings, store: JobStore) -> AsyncIterator[None]:
    """Jobs are worked on until the block ends."""
    task = asyncio.create_task(Runner(settings, store).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


def _encoded(counts: Counter[str]) -> str:
    return json.encode({name: count for name, count in counts.items() if count}).decode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
