"""Counts of how sagas went can be taken back and merged in any order."""

from hypothesis import given
from hypothesis import strategies as st

from tests.property.sagas import SAGA_ID, facts
from tracker.core.discovery import Trace, Variants, trace
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.quantiles import ERROR_MAX, Quantiles

traces = st.lists(
    st.builds(Trace, st.lists(st.sampled_from("ab"), max_size=3).map(tuple), st.integers(0, 10_000_000))
)


def counted(*parts: list[Trace]) -> Variants:
    found = Variants()
    for part in parts:
        for went in part:
            found.add(went)
    return found


def merged(one: Variants, other: Variants) -> Variants:
    found = Variants()
    found.merge(one)
    found.merge(other)
    return found


@given(traces, traces, traces)
def test_a_merge_is_associative_and_the_same_as_counting_all(
    a: list[Trace], b: list[Trace], c: list[Trace]
) -> None:
    left = merged(merged(counted(a), counted(b)), counted(c))
    right = merged(counted(a), merged(counted(b), counted(c)))

    assert left == right == counted(c, a, b)


@given(traces, traces)
def test_what_is_taken_back_leaves_nothing(kept: list[Trace], gone: list[Trace]) -> None:
    found = counted(gone, kept)
    for went in gone:
        found.remove(went)

    assert found == counted(kept)
    assert list(found.listed()) == list(counted(kept).listed())


@given(st.lists(st.integers(0, 10**12), min_size=1), st.sampled_from([0.5, 0.9, 1.0]))
def test_a_quantile_is_within_its_error(times_ms: list[int], share: float) -> None:
    times = Quantiles()
    for took_ms in times_ms:
        times.add(took_ms)
    rank = max(1, -(-len(times_ms) * round(share * 10) // 10))
    true = sorted(times_ms)[rank - 1]

    assert abs(times.quantile(share) - true) <= true * ERROR_MAX * 1.0001


@given(facts)
def test_every_saga_has_a_trace_without_runs(told: list[Observation]) -> None:
    went = trace(fold(None, SAGA_ID, told))

    assert all(one != other for one, other in zip(went.types, went.types[1:], strict=False))
    assert went.took_ms >= 0
