"""Many sagas folded into rows beside what else the projector does: a process has a processor to itself.

Reading a million sagas takes twice as long to decode and fold as to write. A process of its own folds the
next batch while this one writes the one before. It is a help and nothing more: whatever becomes of it, what
it should have folded is folded where it is written, and no state is lost with it, since it has none.
"""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from msgspec import DecodeError

from saga.runtime.children import how_it_ended
from tracker.view.known import Known
from tracker.view.model.batch import Batch, Record
from tracker.view.model.packed import pack_known, pack_records, unpack_batch
from tracker.view.projector.folding import receive, send
from tracker.view.projector.thread import Blocking

logger = logging.getLogger(__name__)

BEHIND_RECORDS = 50_000
"""So far behind it is worth to start a process."""

_RECORDS_MIN = 2_000
_ANSWER_SECONDS = 30.0
"""A batch takes half a second. Who does not answer for so long has been stopped, or hangs."""

_LEAVE_SECONDS = 1.0
_IDLE_SECONDS = 30.0
_AGAIN_SECONDS = 30.0


class Beside:
    """Folds records into a batch in another process, which is there as long as there is much to fold."""

    def __init__(self, behind_records: int = BEHIND_RECORDS) -> None:
        self._behind_records = behind_records
        self._process: subprocess.Popen[bytes] | None = None
        self._known: Known | None = None
        self._blocking = Blocking("folding")
        self._used = 0.0
        self._not_before = 0.0
        self._ended = False

    @property
    def pid(self) -> int:
        """The process; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    async def __call__(self, records: Sequence[Record], known: Known, behind: int) -> Batch | None:
        """The batch that these records make; None if it has to be made here.

        Parameters
        ----------
        behind : how many more are to be read.
        """
        now = time.monotonic()
        if len(records) < _RECORDS_MIN:
            if self._process is not None and now - self._used > _IDLE_SECONDS:
                await self._blocking(self._end)
            return None
        idle = behind < self._behind_records or now < self._not_before
        if self._ended or (self._process is None and idle):
            return None
        self._used = now
        folding = asyncio.create_task(self._blocking(partial(self._fold, records, known)))
        _, late = await asyncio.wait([folding], timeout=_ANSWER_SECONDS)
        if late:
            self._kill()
        return await folding

    async def end(self) -> None:
        """The process is gone then, and there will be no other."""
        self._ended = True
        self._kill()  # so that nobody waits for its answer
        await self._blocking(self._end)
        self._blocking.end()

    def _kill(self) -> None:
        process = self._process  # which the thread may take away meanwhile
        if process is not None:
            process.kill()

    def _fold(self, records: Sequence[Record], known: Known) -> Batch | None:
        try:
            if self._ended:
                return None
            if self._process is None:
                self._process, self._known = _started(), None
            answer = self._answer(self._process, records, known)
            if answer is not None:
                return unpack_batch(answer, records, known)
            why = "it has ended"
        except (OSError, DecodeError) as error:
            why = str(error)
        self._not_before = time.monotonic() + _AGAIN_SECONDS
        code = self._end(_LEAVE_SECONDS)
        if self._ended:
            return None
        logger.warning(
            "the process that helps to read sagas is gone (%s); the projector goes on alone, and starts "
            "another one after %g s",
            why if code is None else how_it_ended(code),
            _AGAIN_SECONDS,
        )
        return None

    def _answer(
        self, process: "subprocess.Popen[bytes]", records: Sequence[Record], known: Known
    ) -> bytes | None:
        assert process.stdin is not None
        assert process.stdout is not None
        send(process.stdin, b"" if known is self._known else pack_known(known))
        send(process.stdin, pack_records(records))
        process.stdin.flush()
        self._known = known
        return receive(process.stdout)

    def _end(self, within_seconds: float = 0.0) -> int | None:
        """The exit code, if there was one to end; it may do so by itself for so long."""
        process, self._process = self._process, None
        if process is None:
            return None
        with suppress(OSError), process:  # closes the pipes
            with suppress(subprocess.TimeoutExpired):
                process.wait(within_seconds)
            process.kill()
        return process.returncode


def _started() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        # -P: a folder named `tracker` where we were started is not this package.
        [sys.executable, "-P", "-m", "tracker.view.projector.folding"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is for us alone, and we end it
    )
