"""The contract of the order flow, with what its real services declare."""

import pytest
from msgspec import structs

from saga.core.receipt import Publication, ServiceAnnouncement, Subscription
from services.inventory.handlers import inventory
from services.orders.handlers import orders
from services.payments.handlers import payments
from services.shipping.handlers import shipping
from tests.facts import NOON_MS, event, receipt
from tests.play import ORDER
from tracker.core.contract.ahead import Ahead, steps_ahead
from tracker.core.contract.comparison import Comparison, compare
from tracker.core.contract.expected import Edge, ExpectedMap, expected_map
from tracker.core.contract.findings import GRACE_MS, Finding, Kind, findings
from tracker.core.contract.funnel import funnel
from tracker.core.contract.stuck import FACTOR, FLOOR_MS, UNKNOWN_MS, stuck
from tracker.core.contract.traffic import At, Traffic, passage
from tracker.core.course import Course
from tracker.core.discovery import Variant
from tracker.core.flow import Between
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.quantiles import Sketches
from tracker.core.saga import STEPS_MAX, Saga
from tracker.core.status import Waiting, status
from tracker.core.subscriptions import Subscriptions

SUBSCRIPTIONS = Subscriptions(service.announcement() for service in (orders, inventory, payments, shipping))
EXPECTED = expected_map("order.placed", SUBSCRIPTIONS, ORDER)

PLACED: list[Observation] = [event("e1", "order.placed"), receipt("e1", "inventory", handler="reserve")]
RESERVED: list[Observation] = [
    event("e2", "stock.reserved", after_ms=10, cause="e1", source="inventory"),
    receipt("e2", "payments", after_ms=10, handler="charge"),
]
CHARGED: list[Observation] = [
    event("e3", "payment.charged", after_ms=20, cause="e2", source="payments"),
    receipt("e3", "shipping", after_ms=20, handler="dispatch"),
]
DISPATCHED: list[Observation] = [event("e4", "parcel.dispatched", after_ms=30, cause="e3", source="shipping")]
DONE = PLACED + RESERVED + CHARGED + DISPATCHED


def saga_of(*facts: Observation) -> Saga:
    return fold(None, "s-1", facts)


def found(*facts: Observation, expected: ExpectedMap = EXPECTED) -> list[tuple[Kind, str]]:
    return [(finding.kind, finding.event) for finding in findings(saga_of(*facts), expected, ORDER)]


def one(*facts: Observation) -> Finding:
    [finding] = findings(saga_of(*facts), EXPECTED, ORDER)
    return finding


def traffic_of(*sagas: Saga) -> Traffic:
    traffic = Traffic()
    for saga in sagas:
        traffic.add(passage(saga, status(saga, SUBSCRIPTIONS), ORDER.undo_words))
    return traffic


def test_the_map_goes_the_way_of_the_flow_and_knows_the_way_back() -> None:
    assert EXPECTED.forward == (
        "order.placed",
        "stock.rejected",
        "stock.reserved",
        "payment.charged",
        "payment.declined",
        "parcel.lost",  # only the flow file names it
        "parcel.dispatched",
        "order.cancelled",
    )
    assert EXPECTED.back == {"stock.release", "stock.released", "payment.refund", "payment.refunded"}
    assert Edge("payment.declined", "tracker", "order.cancelled") in EXPECTED.edge_set
    assert Edge("stock.release", "inventory", "stock.released") in EXPECTED.edge_set
    assert EXPECTED.free == {"order.placed", "parcel.lost"}


def test_what_begins_a_saga_of_its_own_is_the_end_of_this_map() -> None:
    expected = expected_map("order.placed", SUBSCRIPTIONS, begun=[("payment.charged", "parcel.dispatched")])

    assert "parcel.dispatched" not in expected.known
    assert Edge("payment.charged", "shipping", "parcel.dispatched") in expected.edge_set


def test_without_a_flow_file_the_map_is_what_services_declare() -> None:
    expected = expected_map("stock.reserved", SUBSCRIPTIONS)

    assert expected.types == ("stock.reserved", "payment.charged", "payment.declined", "parcel.dispatched")
    assert (expected.back, expected.ends, expected.flow) == (frozenset(), (), "")
    assert not expected_map("row.read", SUBSCRIPTIONS).declared


def test_an_order_that_goes_its_way_has_no_findings() -> None:
    assert found(*DONE) == []


def test_an_event_that_nobody_declares_is_unexpected() -> None:
    strange = event("e9", "coupon.used", after_ms=15, cause="e2", source="shop")

    assert one(*DONE, strange).text == "no service declares coupon.used here, and no flow file names it"


def test_an_event_after_the_wrong_cause_or_none_is_unexpected() -> None:
    hasty = event("e9", "parcel.dispatched", after_ms=15, cause="e2", source="shipping")
    by_hand = event("e8", "payment.charged", after_ms=15, source="hand")

    assert one(*PLACED, *RESERVED, *CHARGED, *DISPATCHED, hasty).text == (
        "parcel.dispatched from shipping after stock.reserved is not declared: "
        "it comes from shipping after payment.charged"
    )
    assert "from hand names no cause: it comes from payments after stock.reserved" in one(*DONE, by_hand).text


def test_what_only_the_flow_file_names_may_come_from_anywhere() -> None:
    lost = event("e9", "parcel.lost", after_ms=50, cause="e3", source="carrier")

    assert found(*DONE, lost) == []


def test_nothing_is_unexpected_where_nobody_declares_anything() -> None:
    rows = [event("r1", "row.read"), event("r2", "row.written", after_ms=5)]
    expected = expected_map("row.read", SUBSCRIPTIONS)

    assert found(*rows, expected=expected) == []


def test_a_handler_that_always_publishes_and_did_not_is_told_after_a_while() -> None:
    missing = one(*PLACED)

    assert missing.kind is Kind.MISSING
    assert missing.at_ms == NOON_MS + 10 + GRACE_MS
    assert missing.text == (
        "inventory handled order.placed and always publishes stock.rejected or stock.reserved: nothing came"
    )
    assert found(event("e1", "order.placed"), receipt("e1", "inventory", "ignored")) == []


def test_an_effect_before_its_cause_is_out_of_order_beyond_what_clocks_differ() -> None:
    def early(by_ms: int) -> list[Observation]:
        cause = event("e1", "order.placed", after_ms=by_ms)
        return [cause, event("e2", "stock.reserved", cause="e1", source="inventory")]

    assert found(*early(500)) == []
    assert one(*early(501)).text == "stock.reserved is 501 ms older than its cause order.placed"


def test_an_event_without_a_cause_is_out_of_order_before_all_that_leads_to_it() -> None:
    early = event("e3", "payment.charged", source="payments")
    late = event("e2", "stock.reserved", after_ms=900, cause="e1", source="inventory")
    kinds = found(event("e1", "order.placed"), early, late)

    assert kinds == [(Kind.OUT_OF_ORDER, "e3"), (Kind.UNEXPECTED, "e3")]


def test_a_milestone_after_the_end_is_out_of_order() -> None:
    late = event("e3", "payment.charged", after_ms=9_000, cause="e2", source="payments")
    saga = structs.replace(
        saga_of(*PLACED, *RESERVED, late), course=Course("order", 1, "failed", NOON_MS + 8_000)
    )

    [finding] = findings(saga, EXPECTED, ORDER)
    assert (finding.kind, finding.event) == (Kind.OUT_OF_ORDER, "e3")


def test_a_copy_and_a_second_one_for_the_same_cause_are_duplicates() -> None:
    again = event("e3", "payment.charged", after_ms=20, cause="e2", source="payments", offset=77)
    second = event("e9", "payment.charged", after_ms=25, cause="e2", source="payments")

    assert found(*DONE, again) == [(Kind.DUPLICATE, "e3")]
    assert one(*DONE, again).text == "payment.charged was published 2 times under one id"
    assert one(*DONE, second).text == (
        "payments publishes payment.charged once for each stock.reserved, and here again"
    )


def test_a_handler_may_return_a_list() -> None:
    parts = ServiceAnnouncement(
        "splitter", [Subscription("order.placed", "o", "split")], [Publication("part.sent", "o", "split")]
    )
    expected = expected_map("order.placed", Subscriptions([parts]))
    sent = [event(f"p{n}", "part.sent", cause="e1", source="splitter") for n in range(2)]

    assert found(event("e1", "order.placed"), *sent, expected=expected) == []


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ([event("e9", "parcel.lost", cause="gone")], "its cause gone is no event of this saga"),
        ([receipt("e9", "payments")], "payments told of this event, and it was read on no topic"),
        (
            [event("e9", "parcel.lost", cause="e8"), event("e8", "parcel.lost", cause="e9")],
            "its causes lead back to itself, in a circle",
        ),
    ],
)
def test_an_orphan_says_why_it_is_one(facts: list[Observation], text: str) -> None:
    orphans = findings(saga_of(*DONE, *facts), EXPECTED, ORDER)

    assert {finding.kind for finding in orphans} == {Kind.ORPHAN}
    assert {finding.text for finding in orphans} == {text}


def test_of_a_saga_with_too_many_events_it_is_not_told_what_it_lacks() -> None:
    parts = [
        event(f"p{n}", "part.sent", after_ms=n, cause=f"p{n - 1}" if n else "e1", source="splitter", offset=n)
        for n in range(2 * STEPS_MAX)
    ]
    saga = saga_of(event("e1", "order.placed"), receipt("e1", "inventory"), *parts)

    assert saga.truncated
    kinds = {finding.kind for finding in findings(saga, EXPECTED, ORDER)}
    assert kinds == {Kind.UNEXPECTED}  # and neither missing nor orphan
    assert traffic_of(saga).reached["order.placed"] == 1


def test_the_maps_are_equal_once_every_way_was_gone() -> None:
    rejected: list[Observation] = [
        event("e1", "order.placed"),
        receipt("e1", "inventory"),
        event("e2", "stock.rejected", cause="e1", source="inventory"),
        receipt("e2", "orders"),
        event("e3", "order.cancelled", cause="e2", source="orders"),
    ]
    declined = event("e3", "payment.declined", cause="e2", source="payments")
    undone: list[Observation] = [
        event("u1", "stock.release", cause="e2", source="tracker"),
        receipt("u1", "inventory"),
        event("u2", "stock.released", cause="u1", source="inventory"),
        event("u3", "payment.refund", cause="e2", source="tracker"),
        receipt("u3", "payments"),
        event("u4", "payment.refunded", cause="u3", source="payments"),
        event("lost", "parcel.lost", cause="e3", source="carrier"),
    ]
    traffic = traffic_of(saga_of(*DONE), saga_of(*rejected), saga_of(*PLACED, *RESERVED, declined, *undone))

    assert compare(EXPECTED, traffic) == Comparison()
    half = compare(EXPECTED, traffic_of(saga_of(*DONE)))
    assert "stock.release" in half.unseen_types
    assert Edge("stock.reserved", "payments", "payment.declined") in half.unseen_edges
    assert At("stock.rejected", "orders") in half.unseen_handlers
    assert not half.equal


def test_what_nobody_declared_shows_on_the_map() -> None:
    strange = event("e9", "coupon.used", cause="e2", source="shop")
    found = compare(EXPECTED, traffic_of(saga_of(*DONE, strange, receipt("e4", "audit"))))

    assert found.undeclared_types == ("coupon.used",)
    assert found.undeclared_edges == (Edge("stock.reserved", "shop", "coupon.used"),)
    assert found.undeclared_handlers == (At("parcel.dispatched", "audit"),)


def test_a_funnel_counts_who_passed_and_who_stands() -> None:
    stages = {
        stage.type: stage
        for stage in funnel(traffic_of(saga_of(*DONE), saga_of(*PLACED, *RESERVED[:1])), EXPECTED)
    }

    assert list(stages) == list(EXPECTED.forward)
    assert (stages["order.placed"].passed, stages["parcel.dispatched"].passed) == (2, 1)
    assert (stages["stock.reserved"].standing, stages["parcel.dispatched"].ended) == (1, 1)
    assert stages["parcel.dispatched"].share == 0.5


def wait(attempt: int = 0, retry_at_ms: int = -1) -> Waiting:
    return Waiting("e2", "stock.reserved", "payments", "charge", NOON_MS, attempt, "", retry_at_ms)


def past(count: int, took_ms: int) -> Sketches[At]:
    times: Sketches[At] = Sketches()
    for _ in range(count):
        times.add(At("stock.reserved", "payments"), took_ms)
    return times


@pytest.mark.parametrize(
    ("times", "rules", "after_ms"),
    [
        (past(0, 0), (), FACTOR * UNKNOWN_MS),
        (past(19, 100), (), FACTOR * UNKNOWN_MS),  # too few to go by
        (past(20, 100), (), FACTOR * FLOOR_MS),
        (past(0, 0), (Between("fast", 8_000, "stock.reserved", ("payment.charged",)),), FACTOR * 8_000),
        (past(0, 0), (Between("all", 8_000, "order.placed"),), FACTOR * UNKNOWN_MS),
    ],
)
def test_a_wait_is_stuck_long_after_it_usually_is_over(
    times: Sketches[At], rules: tuple[Between, ...], after_ms: int
) -> None:
    flow = structs.replace(ORDER, rules=rules)

    assert stuck((), [wait()], flow, times, NOON_MS + after_ms - 1) == ()
    [found] = stuck((), [wait()], flow, times, NOON_MS + after_ms)
    assert (found.stuck_ms, found.since_ms) == (NOON_MS + after_ms, NOON_MS)
    told = f"payments has not answered stock.reserved for more than {after_ms // 1000} s, "
    assert found.finding().text == told + "2 times what it may take"


def test_a_retry_is_a_move_and_is_waited_for_from_when_it_is_due() -> None:
    was = stuck((), [wait()], ORDER, past(0, 0), NOON_MS + 10**6)
    retrying = wait(attempt=1, retry_at_ms=NOON_MS + 10**6)

    assert was
    assert stuck(was, [retrying], ORDER, past(0, 0), NOON_MS + 10**6) == ()
    assert stuck(was, [retrying], ORDER, past(0, 0), NOON_MS + 10**6 + FACTOR * UNKNOWN_MS)


def test_the_steps_ahead_are_the_shortest_way_to_a_good_end() -> None:
    assert steps_ahead(["order.placed"], ["order.placed"], EXPECTED) == (
        Ahead("stock.reserved", ("inventory",), -1.0),
        Ahead("payment.charged", ("payments",), -1.0),
        Ahead("parcel.dispatched", ("shipping",), -1.0),
    )
    assert steps_ahead(["order.placed", "order.cancelled"], ["order.cancelled"], EXPECTED) == ()


def test_the_steps_ahead_are_those_of_sagas_that_went_the_same_way() -> None:
    variants = [
        Variant(("order.placed", "stock.reserved", "payment.declined"), 1, 0.25, 5),
        Variant(("order.placed", "stock.reserved", "payment.charged", "parcel.dispatched"), 3, 0.75, 5),
    ]

    assert steps_ahead(["order.placed"], ["order.placed"], EXPECTED, variants) == (
        Ahead("stock.reserved", ("inventory",), 1.0),
        Ahead("payment.charged", ("payments",), 0.75),
        Ahead("parcel.dispatched", ("shipping",), 0.75),
    )


def test_of_two_ways_that_are_as_frequent_the_one_ahead_ends_well() -> None:
    so_far = ("order.placed", "stock.reserved", "payment.charged")
    good, undone = (*so_far, "parcel.dispatched"), (*so_far, "parcel.dispatched", "order.cancelled")

    ahead = steps_ahead(so_far, [], EXPECTED, [Variant(undone, 1, 0.5, 5), Variant(good, 1, 0.5, 5)])
    assert ahead == (Ahead("parcel.dispatched", ("shipping",), 1.0),)
