"""An event of one saga may begin another: both know of each other, and neither waits for the other."""

import re
from collections import Counter
from textwrap import dedent

from msgspec import structs, to_builtins
from rich.console import Console

from saga.core.envelope import ID_LENGTH_MAX, Envelope
from tests.facts import NOON_MS, announcement, event, receipt
from tests.play import CHARGE_FAST, IN_ALL, ORDER, Play, dispatched, placed, reserved, stages
from tests.unit.test_collect import Written
from tracker.cli.tree import saga_tree
from tracker.core.chain import began_ms, begin_type, chain, first_event
from tracker.core.collect import SagaFacts, Uncorrelated, collect_events
from tracker.core.correlation import TOO_LONG
from tracker.core.flow import WhenBreach
from tracker.core.fold import fold
from tracker.core.frame import ChildBegun, EventSeen, Observation
from tracker.core.saga import CHILDREN_MAX, Child, Parent, Saga, decode_saga, encode_saga
from tracker.core.status import Status, status
from tracker.core.subscriptions import Subscriptions
from tracker.core.timeline import Timeline
from tracker.view.documents.saga import saga_document
from tracker.view.kin import NO_RELATIVES, Relatives
from tracker.view.known import Known

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


PARENT_FACTS: list[Observation] = [
    event("e-9", "month.over", key=None),
    event("e-10", "bill.sent", after_ms=5, cause="e-9", key=None),
    BEGUN,
    structs.replace(BEGUN, child="o-7", at_ms=NOON_MS + 1),
    ChildBegun("o-8", "order.placed", "e-10", NOON_MS + 6),
    ChildBegun("o-9", "order.placed", "never-read", NOON_MS + 7),
]
PARENT = fold(None, "subscription-1", PARENT_FACTS)
CHILD_SAGA = fold(None, "o-1", CHILD)
KNOWN = Known(Subscriptions([announcement("shop", "month.over", "stock.reserved")]))


def shown(saga: Saga, relatives: Relatives = NO_RELATIVES) -> str:
    console = Console(width=120, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(saga_tree(saga_document(saga, KNOWN, NOON_MS + 1_000, None, relatives)))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def test_what_an_event_began_stands_below_it() -> None:
    assert shown(PARENT, {"o-1": CHILD_SAGA}) == dedent("""\
    (unknown) month.over  subscription-1  open
    began 2025-10-09 12:00:00 UTC, 1.0 s ago
    12:00:00.000  orders  month.over                        shop: no answer for 1.0 s
    12:00:00.000          │  began order.placed             o-1  open
    12:00:00.001          │  began order.placed             o-7
    12:00:00.005  orders  └─ bill.sent              + 5 ms  nobody subscribed
    12:00:00.006                began order.placed          o-8
    12:00:00.007          began order.placed                o-9
                                                            cause unknown: never-read
    """)


def test_what_a_deep_event_began_stays_on_the_screen() -> None:
    facts: list[Observation] = [event(str(i), "t", cause=str(i - 1) if i else None) for i in range(60)]
    told = shown(fold(None, "s", [*facts, structs.replace(BEGUN, event="59")]))

    assert re.search(r"began order.placed +o-1\n", told)


def test_a_child_says_what_began_it() -> None:
    assert "began by month.over of subscription-1\n" in shown(CHILD_SAGA, {"subscription-1": PARENT})
    assert "began by event e-9 of subscription-1\n" in shown(CHILD_SAGA)
    first = event("o-1", "order.placed")
    assert "began by an event of p\n" in shown(fold(None, "o-1", [structs.replace(first, parent="p")]))


def test_a_child_of_a_flow_is_named_after_it() -> None:
    child = Play(ORDER)
    child.tell(child_placed(), dispatched())
    assert child.saga is not None
    parent = fold(None, "subscription-1", [structs.replace(BEGUN, child=child.saga.id)])

    assert re.search(r"began order +s-1  completed\n", shown(parent, {child.saga.id: child.saga}))


def test_a_saga_at_its_limit_of_children_says_so() -> None:
    told = [ChildBegun(f"c-{number}", "t", "e-9", NOON_MS) for number in range(CHILDREN_MAX)]

    assert "at its limit of 1,000 child sagas" in shown(fold(None, "s", told))


def test_programs_are_told_of_parent_and_children() -> None:
    child = to_builtins(saga_document(CHILD_SAGA, KNOWN, NOON_MS, relatives={"subscription-1": PARENT}))
    parent = to_builtins(saga_document(PARENT, KNOWN, NOON_MS, relatives={"o-1": CHILD_SAGA}))

    assert child["parent"] == {"saga": "subscription-1", "event": "e-9", "type": "month.over"}
    assert child["children"] == []
    assert parent["parent"] is None
    assert parent["children"][0] == {
        "saga": "o-1",
        "event": "e-9",
        "began": "2025-10-09T12:00:00.000Z",
        "begins": "order.placed",
        "flow": None,
        "status": "open",
    }
