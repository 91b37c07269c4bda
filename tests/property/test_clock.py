"""Time goes back only when others count, never runs ahead of a source that counts, nor after a restart."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tracker.core.clock import PartitionClock
from tracker.core.frame import HELD_MS, UNREAD_MS, Watermark

GONE_MS = 2_500

SOURCES = st.sampled_from([("a", 0), ("a", 1), ("b", 0)])
MARKS = st.builds(
    lambda source, at_ms: Watermark(source[0], source[1], at_ms),
    SOURCES,
    st.just(UNREAD_MS) | st.integers(0, 50),
)
FRAMES = st.lists(st.tuples(st.lists(MARKS, max_size=4), st.integers(0, 5_000)), max_size=40).map(
    # Gaps into timestamps: Kafka's records are stamped by collectors whose clocks go on, by and large.
    lambda frames: [
        (marks, sum(gap for _, gap in frames[: number + 1])) for number, (marks, _) in enumerate(frames)
    ]
)


@given(FRAMES, st.randoms(use_true_random=False))
def test_any_order_and_duplication_of_frames_sets_time_back_only_when_other_sources_count(
    frames: list[tuple[list[Watermark], int]], chance: Random
) -> None:
    shuffled = frames * 2
    chance.shuffle(shuffled)
    clock = PartitionClock(GONE_MS)
    before = -1
    for marks, frame_ms in shuffled:
        changed = clock.observe(marks, frame_ms, 0).changed
        now_ms = -1 if clock.now_ms is None else clock.now_ms
        assert changed or now_ms >= before
        before = now_ms


@given(FRAMES)
def test_time_is_what_every_source_that_counts_has_been_read_to(
    frames: list[tuple[list[Watermark], int]],
) -> None:
    clock = PartitionClock(GONE_MS)
    known: dict[tuple[str, int], int] = {}
    for marks, frame_ms in frames:
        clock.observe(marks, frame_ms, 0)
        for mark in marks:
            source = mark.topic, mark.partition
            known[source] = max(mark.at_ms, known.get(source, UNREAD_MS))
        least = min((known[source] for source in known if source not in clock.gone), default=UNREAD_MS)
        assert clock.now_ms == (None if least <= HELD_MS else least)


@given(FRAMES, st.randoms(use_true_random=False))
def test_without_gone_sources_any_order_and_batches_of_frames_give_the_same_time(
    frames: list[tuple[list[Watermark], int]], chance: Random
) -> None:
    at_once = PartitionClock(10**9)
    at_once.observe([mark for marks, _ in frames for mark in marks], 0, 0)
    shuffled = frames * 2
    chance.shuffle(shuffled)
    one_by_one = PartitionClock(10**9)
    for marks, frame_ms in shuffled:
        one_by_one.observe(marks, frame_ms, 0)

    assert one_by_one.now_ms == at_once.now_ms


@given(FRAMES, st.data())
def test_a_replay_from_an_older_clock_is_never_ahead_of_the_original(
    frames: list[tuple[list[Watermark], int]], data: st.DataObject
) -> None:
    """The clock was kept at some frame, and at every later one where others count than before."""
    original = PartitionClock(GONE_MS)
    kept: bytes | None = None
    passed = UNREAD_MS
    crash = data.draw(st.integers(0, len(frames)))
    keeps = data.draw(st.sets(st.integers(0, len(frames))))
    for number, (marks, frame_ms) in enumerate(frames[:crash]):
        if original.observe(marks, frame_ms, 0).changed or number in keeps:
            kept = original.encode()
        passed = original.now_ms if original.now_ms is not None else passed
    replayed = PartitionClock(GONE_MS, kept)
    for marks, frame_ms in frames[crash:]:
        original.observe(marks, frame_ms, 0)
        replayed.observe(marks, frame_ms, 0)
        if replayed.now_ms is None:
            continue
        if original.now_ms is None:
            # All its sources are gone by now, to the replay not yet: it stands where the original stood.
            assert original.gone
            assert replayed.now_ms <= passed
        else:
            assert replayed.now_ms <= original.now_ms
            passed = original.now_ms


@given(FRAMES)
def test_a_clock_is_restored_as_it_was(frames: list[tuple[list[Watermark], int]]) -> None:
    clock = PartitionClock(GONE_MS)
    for marks, frame_ms in frames:
        clock.observe(marks, frame_ms, 0)
    again = PartitionClock(GONE_MS, clock.encode())

    assert (again.now_ms, again.gone, again.encode()) == (clock.now_ms, clock.gone, clock.encode())
