"""Whatever finishes in whatever order, and wherever a run ends: each record is handled once."""

import base64
import random
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from saga.core.progress import SPAN_MAX, Progress

METADATA_BYTES_MAX = 4_096
"""Kafka's default of `offset.metadata.max.bytes`."""

gaps = st.one_of(st.integers(1, 3), st.integers(1, 40_000))
logs = st.lists(gaps, min_size=1, max_size=40)
"""The records of a partition, as the distance of each from the one before."""


class Broker:
    """A partition, and what is committed for it together with the outcomes."""

    def __init__(self, distances: list[int]) -> None:
        self.offsets = []
        offset = -1
        for distance in distances:
            offset += distance
            self.offsets.append(offset)
        self.committed = (0, "")
        self.handled: list[int] = []

    def commit(self, progress: Progress, finished: list[int]) -> None:
        """A transaction: outcomes and position become durable together."""
        for offset in finished:
            progress.finish(offset)
        self.handled += finished
        finished.clear()
        assert progress.moved()
        self.committed = progress.committable()
        assert not progress.moved()
        assert len(self.committed[1].encode()) <= METADATA_BYTES_MAX


@given(logs, st.integers(0), st.integers(0, 8))
@settings(max_examples=300)
def test_each_record_is_handled_exactly_once_over_any_number_of_restarts(
    distances: list[int], seed: int, crashes: int
) -> None:
    broker, chance = Broker(distances), random.Random(seed)
    for run in range(crashes + 1):
        session(broker, chance, crashes=run < crashes)

    assert sorted(broker.handled) == broker.offsets


def session(broker: Broker, chance: random.Random, *, crashes: bool) -> None:
    """Read from where the last one committed: to the end, or until it stops anywhere."""
    progress = Progress(*broker.committed)
    unread = [offset for offset in broker.offsets if offset >= broker.committed[0]]
    running: list[int] = []
    finished: list[int] = []
    while unread or running or finished:
        if crashes and chance.random() < 0.1:
            return
        for _ in range(chance.randint(0, 5)):
            if not unread or not progress.admits(unread[0]):
                break
            offset = unread.pop(0)
            if progress.give(offset):
                running.append(offset)
        for _ in range(chance.randint(0, 3)):
            if running:
                finished.append(running.pop(chance.randrange(len(running))))
        if finished and chance.random() < 0.5:
            broker.commit(progress, finished)


@given(st.integers(0, 10_000), st.integers(0), st.floats(0, 1))
@settings(max_examples=20)
def test_the_metadata_fits_however_wide_the_span_and_however_it_compresses(
    position: int, seed: int, share: float
) -> None:
    progress, chance = Progress(position), random.Random(seed)
    given_out = []
    offset = position
    while progress.admits(offset):
        progress.give(offset)
        given_out.append(offset)
        offset += 1
    assert len(given_out) == SPAN_MAX
    done = {offset for offset in given_out[1:] if chance.random() < share} | {given_out[-1]}
    for each in done:
        progress.finish(each)
    committed, metadata = progress.committable()

    assert committed == position
    assert len(metadata.encode()) <= METADATA_BYTES_MAX
    restored = Progress(committed, metadata)
    assert {each for each in given_out if not restored.give(each)} == done


def test_what_was_finished_ahead_is_not_handled_again_after_a_restart_caught_up() -> None:
    before = Progress(5)
    for offset in (5, 6, 7):
        before.give(offset)
    before.finish(7)
    after = Progress(*before.committable())

    assert after.give(5)
    after.finish(5)
    assert after.committable()[0] == 6  # 6 has not been read yet, and 7 is still known
    assert after.give(6)
    assert not after.give(7)


def test_a_gap_wider_than_the_span_waits_for_the_slowest_record() -> None:
    progress = Progress(0)
    progress.give(0)

    far = 1_000_000_000
    assert not progress.admits(far)
    assert not progress.reopened(far)
    progress.finish(0)
    assert progress.admits(far)
    assert progress.reopened(far)


def test_a_partition_is_read_on_only_when_there_is_room_for_many() -> None:
    progress = Progress(0)
    progress.give(0)
    progress.give(SPAN_MAX // 4)
    held = SPAN_MAX

    progress.finish(0)
    assert progress.admits(held)
    assert not progress.reopened(held)
    progress.finish(SPAN_MAX // 4)
    assert progress.reopened(held)


@given(
    st.text()
    | st.text(alphabet="zr+/=AQx").map("done:".__add__)
    | st.binary().map(lambda raw: "done:" + raw.decode("latin-1"))
)
def test_foreign_metadata_is_ignored_or_read_but_never_raises(metadata: str) -> None:
    progress = Progress(3, metadata)

    assert progress.give(4) or metadata.startswith("done:")


def test_metadata_that_would_unpack_to_more_than_a_span_is_cut() -> None:
    bomb = "done:" + base64.b64encode(b"z" + zlib.compress(b"\xff" * 10_000_000)).decode()

    assert Progress(0, bomb).give(SPAN_MAX)


def test_nothing_new_is_nothing_to_commit() -> None:
    progress = Progress(7)

    assert not progress.moved()
    progress.give(7)
    assert not progress.moved()
    progress.finish(7)
    assert progress.moved()
    assert progress.committable() == (8, "")
    assert not progress.moved()
