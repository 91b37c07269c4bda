"""To count many sagas at once comes to the same as to count one after the other."""

from hypothesis import given
from hypothesis import strategies as st

from tests.bench import lives
from tests.property.sagas import SAGA_ID, facts
from tracker.core.contract.tally import Tally, Went, went
from tracker.core.contract.traffic import Traffic, passage
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.saga import Saga, decode_saga
from tracker.core.status import ENDED, Status

statuses = st.sampled_from(sorted(ENDED))
undoing = st.frozensets(st.sampled_from(["x", "y"]))
told = st.tuples(facts, statuses, undoing)
signs = st.sampled_from([1, 1, -1])


def both(sagas: list[tuple[Saga, Status, frozenset[str], int]]) -> tuple[Traffic, Traffic]:
    at_once, one_by_one = Tally(), Traffic()
    for saga, status, words, sign in sagas:
        at_once.add(went(saga, status, words), sign)
        one_by_one.add(passage(saga, status, words), sign)
    return at_once.traffic(), one_by_one


@given(st.lists(st.tuples(told, signs), max_size=6))
def test_all_sagas_come_to_the_same(
    sagas: list[tuple[tuple[list[Observation], Status, frozenset[str]], int]],
) -> None:
    made = [(fold(None, SAGA_ID, some), status, words, sign) for (some, status, words), sign in sagas]
    at_once, one_by_one = both(made)

    assert at_once == one_by_one


def test_the_sagas_of_a_flow_go_few_ways_and_come_to_the_same() -> None:
    newest = [decode_saga(life.updates[-1]) for life in lives.played()]
    at_once, one_by_one = both([(saga, Status.COMPLETED, frozenset(), 1) for saga in newest])

    assert at_once == one_by_one
    ways = [one.way for saga in newest if isinstance(one := went(saga, Status.COMPLETED, frozenset()), Went)]
    assert len(ways) > 0.8 * len(newest)
    assert len(set(ways)) < 0.7 * len(ways)
