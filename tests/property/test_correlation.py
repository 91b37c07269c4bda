"""No record stops the collector, whatever the rules and the record say."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from tests.property.test_collect import JSON
from tests.unit.test_collect import Written
from tracker.core.collect import SagaFacts, Uncorrelated, collect_events
from tracker.core.correlation import Constant, Header, Key, Moment, Path, Rule
from tracker.core.frame import Frame, decode_frame, encode_frame

NAMES = st.sampled_from(["a", "b", "c"])
PREFIXES = st.sampled_from(["", "p-"])
PATHS = st.builds(Path, st.lists(NAMES | st.integers(-2, 2), min_size=1, max_size=2).map(tuple), PREFIXES)
PLACES = PATHS | st.builds(Header, NAMES, PREFIXES) | st.builds(Key, PREFIXES) | st.just(Constant("x"))
SEVERAL = st.lists(PLACES, max_size=2).map(tuple)
MOMENTS = st.lists(st.builds(Moment, PATHS | st.builds(Key), st.sampled_from([1, 1_000, 10**9])), max_size=2)
RULES = st.builds(
    Rule,
    name=NAMES,
    version=st.just(1),
    topics=st.just(("orders",)),
    saga=st.lists(PLACES, min_size=1, max_size=2).map(tuple),
    type=SEVERAL,
    id=SEVERAL,
    time=MOMENTS.map(tuple),
    cause=SEVERAL,
    key=SEVERAL,
    origin=SEVERAL,
)
VALUES = (
    st.none()
    | st.binary(max_size=20)
    | st.dictionaries(NAMES, JSON | st.text(), max_size=3).map(json.encode)
    | st.sampled_from([b'{"a": "\\ud800"}', b'{"a": 1e999}', b'{"a": ' + b"9" * 5_000 + b"}"])
)
RECORDS = st.builds(
    Written,
    headers=st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=9)), max_size=3),
    value=VALUES,
    key=st.none() | st.binary(max_size=9) | st.text(max_size=9).map(str.encode),
    timestamp=st.integers(-1, 2**62),
)


@given(st.lists(RECORDS, max_size=5), st.lists(RULES, max_size=2))
def test_each_record_is_told_or_counted_and_can_be_framed(records: list[Written], rules: list[Rule]) -> None:
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    collect_events("orders", 0, records, facts, uncorrelated, rules=rules)

    assert sum(map(len, facts.values())) + uncorrelated.total() == len(records)
    frame = decode_frame(encode_frame(facts, []))
    assert isinstance(frame, Frame)
    assert frame.sagas == facts
