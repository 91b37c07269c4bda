"""The process that folds sagas beside the projector: it makes what the projector would, and may die."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from itertools import islice

import psutil
import pytest

from tests.bench import lives
from tests.waiting import until
from tracker.view.known import Known
from tracker.view.model.batch import Record, batch_of
from tracker.view.projector.beside import Beside

WITHIN = 60.0
MANY = 2_000


@pytest.fixture
async def beside() -> AsyncIterator[Beside]:
    """One that is asked as soon as there is something to read."""
    beside = Beside(behind_records=0)
    yield beside
    await beside.end()
    assert beside.pid == 0


@pytest.fixture(scope="module")
def records() -> Sequence[Record]:
    told = islice(lives.newest(MANY, lives.DAY_MS), MANY)
    return [Record(0, offset, key, value) for offset, (key, value) in enumerate(told)]


async def test_it_makes_the_same_batch(beside: Beside, records: Sequence[Record]) -> None:
    for known in (lives.known(), Known(), Known()):
        batch = await beside(records, known, 0)
        assert batch == batch_of(records, known)
        assert batch is not None
        assert batch.known is known


async def test_it_is_not_asked_where_it_is_no_help(records: Sequence[Record]) -> None:
    beside = Beside()
    assert await beside(records[:10], Known(), 10**9) is None
    assert await beside(records, Known(), 100) is None
    assert beside.pid == 0
    await beside.end()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_one_that_dies_is_done_without(
    beside: Beside, records: Sequence[Record], how: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    assert await beside(records, Known(), 0) is not None
    os.kill(beside.pid, how)
    assert await beside(records, Known(), 0) is None
    assert how.name in caplog.text
    assert await beside(records, Known(), 0) is None  # and not asked for again at once


async def test_who_stops_does_not_wait_for_one_that_hangs(records: Sequence[Record]) -> None:
    beside = Beside(behind_records=0)
    assert await beside(records, Known(), 0) is not None
    os.kill(beside.pid, signal.SIGSTOP)
    asked = asyncio.create_task(beside(records, Known(), 0))
    for _ in range(5):
        await asyncio.sleep(0)  # until it is asked
    await beside.end()
    assert await asked is None
    assert await beside(records, Known(), 0) is None
    assert beside.pid == 0


_ASKS = """
import asyncio, sys
from tests.bench import lives
from tracker.view.model.batch import Record
from tracker.view.projector.beside import Beside

async def main():
    beside = Beside(behind_records=0)
    told = lives.newest(2_000, lives.DAY_MS)
    await beside([Record(0, n, *each) for n, each in enumerate(told)], lives.known(), 0)
    print(beside.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_it_ends_with_the_projector() -> None:
    with subprocess.Popen([sys.executable, "-c", _ASKS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, WITHIN)
