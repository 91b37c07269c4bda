"""No record can stop the collector."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from saga.core.receipt import Receipt, Receipts
from tests.unit.test_collect import Written
from tracker.core.collect import (
    Payloads,
    SagaFacts,
    Uncorrelated,
    collect_commands,
    collect_events,
    collect_receipts,
)
from tracker.core.command import Command
from tracker.core.frame import ChildBegun, EventSeen, decode_frame
from tracker.core.pack import FrameLimits, by_partition, pack

NAMES = [
    "ce_id",
    "ce_type",
    "ce_source",
    "ce_time",
    "ce_correlationid",
    "ce_causationid",
    "ce_parentcorrelationid",
    "ce_dataschema",
]
CONTENT = st.sampled_from([("content-type", b"application/cloudevents"), ("content-type", None)])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
)
ATTRIBUTES = st.sampled_from(
    ["id", "type", "source", "time", "correlationid", "parentcorrelationid", "specversion", "data"]
)
STRUCTURED = st.dictionaries(ATTRIBUTES, JSON, max_size=7).map(json.encode)
HEADERS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.none() | st.binary(max_size=20) | st.just(b"1")) | CONTENT,
    max_size=10,
)
RECORDS = st.builds(
    Written,
    headers=HEADERS,
    value=st.none() | st.binary(max_size=50) | STRUCTURED,
    key=st.none() | st.binary(max_size=9),
    timestamp=st.integers(-1, 2**62),
)
LIMITS = FrameLimits(steps=3, bytes=2_000)


@given(st.lists(RECORDS, max_size=10))
def test_each_record_is_told_or_counted_and_can_be_framed(records: list[Written]) -> None:
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    collect_events("orders", 0, records, facts, uncorrelated, Payloads(frozenset({"1"})))

    told = [fact for its_facts in facts.values() for fact in its_facts]
    children = [fact for fact in told if isinstance(fact, ChildBegun)]
    assert len(told) - len(children) + uncorrelated.total() == len(records)
    assert len(children) == sum(1 for fact in told if isinstance(fact, EventSeen) and fact.parent is not None)
    _framed(facts)


@given(
    st.lists(
        st.builds(
            Receipt,
            event=st.none() | st.text(max_size=5),
            saga=st.none() | st.text(max_size=5),
            at_ms=st.integers(),
            attempt=st.integers(),
        )
        | st.builds(Receipt, event=st.just("e"), saga=st.just("s")),
        max_size=5,
    )
)
def test_each_receipt_is_told_or_counted_and_can_be_framed(told: list[Receipt]) -> None:
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    try:
        value = json.encode(Receipts("s", "i", told))
    except OverflowError:
        return  # not even JSON knows this number here; other languages' does
    collect_receipts("saga.receipts", [Written(value=value)], facts, uncorrelated)

    assert sum(map(len, facts.values())) + uncorrelated.total() in (len(told), 1)
    _framed(facts)


@given(
    st.lists(
        st.dictionaries(st.sampled_from([*Command.__struct_fields__, "new"]), JSON | st.just("note")).map(
            json.encode
        )
        | st.binary(max_size=50)
        | st.none()
        | st.builds(Command, id=st.text(), saga=st.text(), at_ms=st.integers(0, 2**63)).map(json.encode),
        max_size=5,
    )
)
def test_each_command_is_told_or_counted_and_can_be_framed(values: list[bytes | None]) -> None:
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    collect_commands("saga.commands", [Written(value=value) for value in values], facts, uncorrelated)

    assert sum(map(len, facts.values())) + uncorrelated.total() == len(values)
    _framed(facts)


def _framed(facts: SagaFacts) -> None:
    for its_facts in by_partition(facts, 4).values():
        packed = pack(its_facts, [], LIMITS)
        framed = sum(len(f) for frame in packed.frames for f in decode_frame(frame).sagas.values())
        assert framed + len(packed.refused) == sum(map(len, its_facts.values()))
