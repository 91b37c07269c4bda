"""Sagas folded into rows by a process of its own: the other end of `tracker.view.projector.beside`.

`python -m tracker.view.projector.folding` answers each request on its standard input with a batch on its
standard output. It reads nothing but that, and ends when the projector's process is gone, even by kill -9:
its standard input ends then.
"""

import contextlib
import os
import sys
from typing import IO

from saga.runtime.children import answering_pipe
from saga.runtime.garbage import calm_garbage_collector
from tracker.view.known import Known
from tracker.view.model.batch import batch_of
from tracker.view.model.packed import pack_batch, unpack_known, unpack_records

GARBAGE_OBJECTS = 100_000
"""For a process that folds sagas: what a batch of records keeps alive is no reason to look for garbage."""

_LENGTH_BYTES = 8


def main() -> None:
    """Answer until nobody asks any more."""
    calm_garbage_collector(GARBAGE_OBJECTS)
    with contextlib.suppress(BrokenPipeError), os.fdopen(answering_pipe(), "wb") as answers:
        serve(sys.stdin.buffer, answers)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """A request is two parts: what sagas are read by, empty when that is as before, and the records."""
    known = Known()
    while (told := receive(requests)) is not None:
        asked = receive(requests)
        if asked is None:
            return
        if told:
            known = unpack_known(told)
        records = unpack_records(asked)
        send(answers, pack_batch(batch_of(records, known), records))
        answers.flush()


def send(pipe: IO[bytes], part: bytes) -> None:
    """Write a part behind its length."""
    pipe.write(len(part).to_bytes(_LENGTH_BYTES, "big"))
    pipe.write(part)


def receive(pipe: IO[bytes]) -> bytes | None:
    """The next part; None where the other end was closed before there was all of it."""
    length = pipe.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    size = int.from_bytes(length, "big")
    part = pipe.read(size)
    return part if len(part) == size else None


if __name__ == "__main__":
    main()
