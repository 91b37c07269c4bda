"""Counts of how sagas went can be taken back and merged in any order."""

from hypothesis import given
from hypothesis import strategies as st

from tests.property.sagas import SAGA_ID, facts
from tracker.core.discovery import DirectlyFollows, Trace, Variants, in_order, trace
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
        found.add(went, -1)

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


edges = st.lists(st.floats(1, 1e9), min_size=1, max_size=8, unique=True).map(sorted)


@given(st.lists(st.integers(0, 10**10)), edges)
def test_a_spread_counts_each_duration_once_where_it_belongs(
    times_ms: list[int], edges_ms: list[float]
) -> None:
    times = Quantiles()
    for took_ms in times_ms:
        times.add(took_ms)
    counts = times.spread(edges_ms)

    assert sum(counts) == len(times_ms)
    for index, edge_ms in enumerate(edges_ms):
        below = sum(counts[: index + 1])
        assert sum(took_ms * (1 + ERROR_MAX * 1.01) < edge_ms for took_ms in times_ms) <= below
        assert below <= sum(took_ms * (1 - ERROR_MAX * 1.01) < edge_ms for took_ms in times_ms)


@given(facts)
def test_a_trace_has_every_event(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)
    went = trace(saga)

    assert sorted(went.types) == sorted(step.seen.type for step in saga.steps.values() if step.seen)
    assert went.took_ms >= 0


cases = st.lists(st.lists(st.sampled_from("abc"), max_size=6))


def followed(*parts: list[list[str]]) -> DirectlyFollows:
    found = DirectlyFollows()
    for part in parts:
        for types in part:
            found.add(types)
    return found


@given(cases, cases)
def test_what_followed_what_can_be_merged_and_taken_back(
    kept: list[list[str]], gone: list[list[str]]
) -> None:
    found = followed(kept)
    found.merge(followed(gone))
    assert found == followed(gone, kept)

    for types in gone:
        found.add(types, -1)
    assert found == followed(kept)


@given(cases)
def test_every_event_but_the_last_is_followed_by_one(told: list[list[str]]) -> None:
    found = followed(told)

    assert found.pairs.total() == sum(max(0, len(types) - 1) for types in told)
    assert found.first.total() == found.last.total() == sum(1 for types in told if types)


@given(facts)
def test_events_in_order_never_go_back_in_time(told: list[Observation]) -> None:
    saga = fold(None, SAGA_ID, told)
    times = [seen.time_ms for seen in in_order(saga)]

    assert times == sorted(times)
    assert len(times) == sum(1 for step in saga.steps.values() if step.seen is not None)
