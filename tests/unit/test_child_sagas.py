"""An event of one saga may begin another: both know of each other, and neither waits for the other."""

from collections import Counter

from msgspec import structs

from saga.core.envelope import ID_LENGTH_MAX, Envelope
from tests.facts import NOON_MS, announcement, event, receipt
from tests.play import CHARGE_FAST, IN_ALL, ORDER, Play, dispatched, placed, reserved, stages
from tests.unit.test_collect import Written
from tracker.core.chain import began_ms, begin_type, chain, first_event
from tracker.core.collect import TOO_LONG, SagaFacts, Uncorrelated, collect_events
from tracker.core.flow import WhenBreach
from tracker.core.fold import fold
from tracker.core.frame import ChildBegun, EventSeen, Observation
from tracker.core.saga import CHILDREN_MAX, Child, Parent, decode_saga, encode_saga
from tracker.core.status import Status, status
from tracker.core.subscriptions import Subscriptions
from tracker.core.timeline import Timeline

FIRST = Envelope("o-1", "order.placed", "shop", "o-1", NOON_MS, "e-9", parent="subscription-1")
BEGUN = ChildBegun("o-1", "order.placed", "e-9", NOON_MS)
CHILD: list[Observation] = [
    structs.replace(event("o-1", "order.placed", cause="e-9"), parent="subscription-1"),
    event("o-2", "stock.reserved", after_ms=5, cause="o-1"),
]


def collected(*envelopes: Envelope) -> tuple[SagaFacts, Uncorrelated]:
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    collect_events("orders", 3, [Written([*each.headers()]) for each in envelopes], facts, uncorrelated)
    return facts, uncorrelated


def test_the_first_event_of_a_child_is_told_to_both_sagas() -> None:
    facts, uncorrelated = collected(FIRST)

    seen = EventSeen("o-1", "order.placed", "shop", "orders", 3, 7, NOON_MS, "e-9", "o-1042", 1)
    assert facts == {"subscription-1": [BEGUN], "o-1": [structs.replace(seen, parent="subscription-1")]}
    assert not uncorrelated


def test_nothing_is_the_parent_of_itself() -> None:
    facts, _ = collected(structs.replace(FIRST, parent="o-1"))

    [fact] = facts["o-1"]
    assert isinstance(fact, EventSeen)
    assert (fact.cause, fact.parent) == ("e-9", None)


def test_a_parent_without_end_is_counted_and_told_to_nobody() -> None:
    facts, uncorrelated = collected(structs.replace(FIRST, parent="p" * (ID_LENGTH_MAX + 1)))

    assert not facts
    assert uncorrelated == {("orders", TOO_LONG): 1}


def test_a_child_begins_with_an_event_whose_cause_lies_in_its_parent() -> None:
    saga = fold(None, "o-1", CHILD)

    assert saga.parent == Parent("subscription-1", "e-9")
    assert [(link.event, link.parent, link.cause_unknown) for link in chain(saga)] == [
        ("o-1", None, False),
        ("o-2", "o-1", False),
    ]
    assert Timeline(saga).root == "o-1"
    assert first_event(saga) is saga.steps["o-1"].seen
    assert begin_type(saga) == "order.placed"
    assert list(Timeline(saga).causes("o-2")) == ["o-1"]


def test_the_first_event_of_a_child_may_be_published_twice() -> None:
    [first, *_] = CHILD
    assert isinstance(first, EventSeen)
    saga = fold(None, "o-1", [first, structs.replace(first, offset=9)])

    assert len(saga.steps["o-1"].copies) == 2
    assert saga.parent == Parent("subscription-1", "e-9")


def test_a_parent_is_not_waiting_for_its_children() -> None:
    facts: list[Observation] = [event("e-9", "month.over"), receipt("e-9", "shop")]
    subscriptions = Subscriptions([announcement("shop", "month.over")])

    saga = fold(fold(None, "subscription-1", facts), "subscription-1", [BEGUN])

    assert saga.children == (Child(NOON_MS, "o-1", "e-9", "order.placed"),)
    assert status(saga, subscriptions) is Status.COMPLETED
    assert fold(saga, "subscription-1", [BEGUN]) is saga


def test_a_saga_known_by_its_children_alone_is_open_and_as_old_as_they_are() -> None:
    saga = decode_saga(encode_saga(fold(None, "subscription-1", [BEGUN])))

    assert (began_ms(saga), begin_type(saga), saga.steps) == (NOON_MS, "", {})
    assert status(saga, Subscriptions([])) is Status.OPEN


def test_of_too_many_children_the_oldest_are_kept_whatever_the_order() -> None:
    told = [ChildBegun(f"c-{number:05}", "t", "e-9", NOON_MS + number) for number in range(CHILDREN_MAX + 50)]
    late = [structs.replace(fact, at_ms=fact.at_ms + 5_000) for fact in told]

    saga = fold(None, "s", told)
    backwards = fold(None, "s", late[::-1])
    for number in range(0, len(told), 100):
        backwards = fold(backwards, "s", told[::-1][number : number + 100])

    assert [child.saga for child in saga.children] == [fact.child for fact in told[:CHILDREN_MAX]]
    assert encode_saga(backwards) == encode_saga(saga)
    assert fold(saga, "s", told[-1:]) is saga


def child_placed() -> EventSeen:
    return structs.replace(placed(), cause="e-9", parent="subscription-1")


def test_a_child_follows_the_flow_of_its_own_first_event() -> None:
    saga = Play(structs.replace(ORDER, rules=(CHARGE_FAST, IN_ALL)))

    assert stages(saga.tell(child_placed(), reserved(), now=20)) == ["started"]
    assert (saga.course.flow, saga.due) == ("order", 4_010)
    assert stages(saga.tell(dispatched())) == ["completed"]
    assert saga.saga is not None
    assert saga.saga.parent == Parent("subscription-1", "e-9"), "deciding leaves it in its place"


def test_children_change_nothing_of_what_is_decided() -> None:
    saga = Play(structs.replace(ORDER, rules=(IN_ALL,)))
    saga.tell(placed(), now=10)
    before = saga.course

    assert saga.tell(structs.replace(BEGUN, event="e1"), now=20) == []
    assert saga.course == before
    saga.tell(reserved(), now=50_000)
    saga.tell(now=60_000)
    assert [told.breached for told in saga.course.told] == [True]
    assert saga.saga is not None
    assert [child.saga for child in saga.saga.children] == ["o-1"]


def test_a_child_begun_while_its_parent_is_undone_is_known_and_left_alone() -> None:
    compensation = structs.replace(ORDER.compensation, triggers=(WhenBreach("in-all"),))
    saga = Play(structs.replace(ORDER, rules=(IN_ALL,), compensation=compensation))
    saga.tell(placed(), reserved(), now=10)
    saga.tell(now=60_000, wall=60_000)
    assert saga.course.compensation is not None

    assert saga.tell(structs.replace(BEGUN, event="e1"), now=60_000) == []
    assert saga.saga is not None
    assert [child.saga for child in saga.saga.children] == ["o-1"]
