"""Points in time as documents have them."""

from hypothesis import given
from hypothesis import strategies as st

from tracker.view.documents.moment import read_timestamp, timestamp


@given(st.integers(-(10**14), 10**18))
def test_a_timestamp_is_read_back_whether_it_is_a_date_or_not(at_ms: int) -> None:
    assert read_timestamp(timestamp(at_ms)) == at_ms
