"""The tree of causes."""

from msgspec import structs

from tests.facts import CHARGED, DISPATCHED, PLACED, RESERVED, event, receipt
from tracker.core.chain import begin_type, business_key, chain, first_event, flow_name, last_event
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.saga import Step

ORDER = PLACED + RESERVED + CHARGED + DISPATCHED


def shape(facts: list[Observation]) -> list[tuple[int, str, int | None, bool]]:
    return [
        (link.depth, link.event, link.after_ms, link.cause_unknown) for link in chain(fold(None, "s", facts))
    ]


def test_a_chain_tells_what_caused_what_and_how_much_later() -> None:
    assert shape(ORDER) == [
        (0, "e1", None, False),
        (1, "e2", 14, False),
        (2, "e3", 1_044, False),
        (3, "e4", 47, False),
    ]


def test_effects_of_one_cause_are_in_the_order_of_time() -> None:
    facts: list[Observation] = [
        event("root", "t"),
        event("a", "t", after_ms=9, cause="root"),
        event("b", "t", after_ms=3, cause="root"),
        event("below-b", "t", after_ms=20, cause="b"),
    ]
    assert [event_id for _, event_id, *_ in shape(facts)] == ["root", "b", "below-b", "a"]


def test_an_event_whose_cause_is_missing_is_a_root_that_says_so() -> None:
    facts: list[Observation] = [event("lost", "t", after_ms=-50, cause="gone"), event("root", "t")]
    assert shape(facts) == [(0, "root", None, False), (0, "lost", None, True)]


def test_a_cause_that_is_known_by_receipts_only_holds_its_effects() -> None:
    facts: list[Observation] = [receipt("e1", "a"), event("e2", "t", cause="e1")]
    assert shape(facts) == [(0, "e1", None, True), (1, "e2", None, False)]


def test_a_circle_of_causes_is_cut_at_its_earliest_event() -> None:
    facts: list[Observation] = [
        event("a", "t", after_ms=1, cause="c"),
        event("b", "t", after_ms=2, cause="a"),
        event("c", "t", after_ms=3, cause="b"),
        event("self", "t", after_ms=9, cause="self"),
    ]
    assert shape(facts) == [
        (0, "a", None, True),
        (1, "b", 1, False),
        (2, "c", 1, False),
        (0, "self", None, True),
    ]


def test_a_chain_may_be_longer_than_pythons_stack() -> None:
    begun = fold(None, "s", [event("0", "t"), event("1", "t", cause="0")])
    first, second = begun.steps.values()
    assert second.seen is not None
    steps = {str(i): Step(structs.replace(second.seen, cause=str(i - 1))) for i in range(1, 3_000)}

    assert chain(structs.replace(begun, steps={"0": first} | steps))[-1].depth == 2_999


def test_a_saga_of_no_flow_begins_with_its_first_event() -> None:
    assert flow_name(fold(None, "s", ORDER)) == "(unknown)"
    assert begin_type(fold(None, "s", ORDER)) == "order.placed"
    assert begin_type(fold(None, "s", RESERVED)) == ""
    assert first_event(fold(None, "s", RESERVED)) is None


def test_the_last_event_is_the_newest_one() -> None:
    last = last_event(fold(None, "s", ORDER))
    assert last is not None
    assert last.type == "parcel.dispatched"


def test_the_business_key_is_that_of_the_first_event_that_has_one() -> None:
    facts: list[Observation] = [
        event("e1", "t", key="s"),
        event("e2", "t", after_ms=1, cause="e1", key="o-7"),
    ]
    assert business_key(fold(None, "s", facts)) == "o-7"
    assert business_key(fold(None, "s", facts[:1])) == ""
