"""Where a projector goes on, whatever the database holds and whatever Kafka has."""

from hypothesis import given
from hypothesis import strategies as st

from tracker.core.saga import SAGAS_CHANGELOG_TOPIC
from tracker.view.model.projection import Place
from tracker.view.projector.start import STALE_MS, Kept, start

NOW_MS = 1_800_000_000_000
FRESH_MS = NOW_MS - 1_000
CLUSTER = "c-1"

topics = st.sampled_from([SAGAS_CHANGELOG_TOPIC, "saga.alerts", "saga.dlq.payments"])
places = st.tuples(topics, st.integers(0, 2))
available = st.dictionaries(
    places, st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda ends: (min(ends), max(ends)))
)
stood = st.dictionaries(places, st.tuples(st.just(CLUSTER), st.integers(0, 7)))


def table(*offsets: int, cluster: str = CLUSTER) -> dict[Place, tuple[str, int]]:
    return {(SAGAS_CHANGELOG_TOPIC, n): (cluster, offset) for n, offset in enumerate(offsets)}


def ends(*found: tuple[int, int]) -> dict[Place, tuple[int, int]]:
    return {(SAGAS_CHANGELOG_TOPIC, n): each for n, each in enumerate(found)}


@given(stood, available, st.sampled_from([0, FRESH_MS]), st.booleans())
def test_it_reads_every_partition_from_where_there_are_records(
    stands: dict[Place, tuple[str, int]],
    there: dict[Place, tuple[int, int]],
    complete_ms: int,
    rebuild: bool,
) -> None:
    found = start(Kept(stands, complete_ms), there, CLUSTER, NOW_MS, rebuild)

    assert found.offsets.keys() == there.keys()
    assert all(begin <= found.offsets[place] <= end for place, (begin, end) in there.items())
    for place, offset in found.offsets.items():
        assert (place in found.moved) == (stands.get(place, (CLUSTER, None))[1] != offset)
        if found.anew and place[0] == SAGAS_CHANGELOG_TOPIC:
            assert offset == there[place][0]
    assert not found.another_cluster


@given(stood, available)
def test_once_begun_it_goes_on_there(
    stands: dict[Place, tuple[str, int]], there: dict[Place, tuple[int, int]]
) -> None:
    first = start(Kept(stands, 0), there, CLUSTER, NOW_MS)
    kept = {place: (CLUSTER, offset) for place, offset in first.offsets.items()}

    again = start(Kept(kept, FRESH_MS), there, CLUSTER, NOW_MS)

    assert (again.anew, again.moved, again.skipped, again.recreated) == ("", {}, {}, [])


def test_why_sagas_are_read_from_the_beginning() -> None:
    there = ends((0, 9), (0, 9))

    def why(kept: dict[Place, tuple[str, int]], complete_ms: int = FRESH_MS, rebuild: bool = False) -> str:
        return start(Kept(kept, complete_ms), there, CLUSTER, NOW_MS, rebuild).anew

    assert why(table(3, 9)) == ""
    assert why({}) == "it is empty"
    assert why(table(3)) == "the saga table has 2 partitions and had 1"
    assert why(table(3, 10)) == "partition 1 was read up to 10 and has 0 to 9"
    assert why(table(3, 9, cluster="c-2")) == "it is of another cluster"
    assert "removed meanwhile" in why(table(3, 9), complete_ms=NOW_MS - STALE_MS - 1)
    assert why(table(3, 9), rebuild=True) == "it is to be made anew"


def test_a_saga_table_that_is_not_there_is_waited_for() -> None:
    found = start(Kept(table(3, 9), 0), {("saga.alerts", 0): (0, 4)}, CLUSTER, NOW_MS)

    assert (found.anew, found.offsets) == ("", {("saga.alerts", 0): 0})


def test_what_kafka_has_dropped_unread_is_told() -> None:
    kept = {("saga.alerts", 0): (CLUSTER, 3), ("saga.dlq.payments", 0): (CLUSTER, 8)}
    found = start(
        Kept(kept, 0), {("saga.alerts", 0): (5, 9), ("saga.dlq.payments", 0): (0, 2)}, CLUSTER, NOW_MS
    )

    assert found.skipped == {("saga.alerts", 0): 2}
    assert found.recreated == [("saga.dlq.payments", 0)]
    assert found.offsets == {("saga.alerts", 0): 5, ("saga.dlq.payments", 0): 0}
