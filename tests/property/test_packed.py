"""Traffic and durations come back from their bytes as they were."""

from hypothesis import given
from hypothesis import strategies as st

from tests.property.sagas import SAGA_ID, facts
from tracker.core.contract.packed import (
    decode_durations,
    decode_traffic,
    encode_durations,
    encode_traffic,
)
from tracker.core.contract.traffic import Traffic, passage
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.quantiles import Quantiles
from tracker.core.status import Status


@given(st.lists(st.tuples(facts, st.sampled_from(Status)), max_size=4))
def test_traffic_comes_back_and_goes_on(told: list[tuple[list[Observation], Status]]) -> None:
    kept, packed = Traffic(), Traffic()
    for some, status in told:
        saga = fold(None, SAGA_ID, some)
        went = passage(saga, status)
        kept.add(went)
        packed = decode_traffic(encode_traffic(packed))
        packed.add(went)
    assert decode_traffic(encode_traffic(packed)) == kept


@given(st.lists(st.integers(-5, 10**9)))
def test_durations_come_back(times_ms: list[int]) -> None:
    durations = Quantiles()
    for took_ms in times_ms:
        durations.add(took_ms)
    assert decode_durations(encode_durations(durations)) == durations
