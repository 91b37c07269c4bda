"""Frames carry every fact once, in order, within their limits."""

from hypothesis import given
from hypothesis import strategies as st

from tests.property.sagas import facts as some_facts
from tracker.core.collect import SagaFacts
from tracker.core.frame import Fact, ReceiptSeen, Watermark, decode_frame, saga_partition
from tracker.core.pack import FrameLimits, by_partition, pack

SAGAS = st.dictionaries(st.sampled_from([f"s-{number}" for number in range(20)]), some_facts, max_size=12)
LIMITS = st.builds(FrameLimits, steps=st.integers(1, 12), bytes=st.integers(300, 3_000))
MARKS = [Watermark("orders", 0, 1_000)]


@given(SAGAS, LIMITS)
def test_every_fact_is_in_one_frame_and_in_its_order(sagas: SagaFacts, limits: FrameLimits) -> None:
    told = {saga: facts for saga, facts in sagas.items() if facts}
    packed = pack(told, MARKS, limits)

    assert not packed.refused
    framed: SagaFacts = {}
    for frame in map(decode_frame, packed.frames):
        assert sum(map(len, frame.sagas.values())) <= limits.steps
        for saga, facts in frame.sagas.items():
            framed.setdefault(saga, []).extend(facts)
    assert repr(framed) == repr(told)  # not ==: a duration may be NaN
    assert all(len(frame) <= limits.bytes for frame in packed.frames)


@given(SAGAS, LIMITS)
def test_only_the_last_frame_carries_the_watermarks(sagas: SagaFacts, limits: FrameLimits) -> None:
    *before, last = map(decode_frame, pack(sagas, MARKS, limits).frames)

    assert last.watermarks == MARKS
    assert all(frame.watermarks == [] for frame in before)


@given(SAGAS, st.integers(1, 9))
def test_sagas_stay_in_their_partition(sagas: SagaFacts, partitions: int) -> None:
    found = by_partition(sagas, partitions)

    assert {saga: facts for its_facts in found.values() for saga, facts in its_facts.items()} == sagas
    assert all(saga_partition(saga, partitions) == number for number in found for saga in found[number])


def unframable(at_ms: int, handler: str) -> Fact:
    return ReceiptSeen("e", "s", "i", handler, "handled", at_ms, 0.0, 1, None, None)


@given(some_facts, st.sampled_from([(2**70, "h"), (0, "h" * 5_000), (0, "\ud800")]), st.integers(0, 30))
def test_a_fact_that_fits_into_no_frame_does_not_hold_up_the_others(
    told: list[Fact], odd: tuple[int, str], place: int
) -> None:
    bad = unframable(*odd)
    packed = pack({"s-1": [*told[:place], bad, *told[place:]]}, MARKS, FrameLimits(500, 4_000))

    assert packed.refused == [bad]
    framed = [fact for frame in packed.frames for fact in decode_frame(frame).sagas.get("s-1", [])]
    assert repr(framed) == repr(told)
    assert decode_frame(packed.frames[-1]).watermarks == MARKS
