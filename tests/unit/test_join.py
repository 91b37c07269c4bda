"""What becomes of a saga that is joined with another one, and what it hands on."""

from collections import Counter

from msgspec import json, structs

from tests.facts import NOON_MS, event, receipt
from tests.play import ORDER, Play, alerts, seen, services, stages
from tests.unit.test_collect import Written
from tracker.core.collect import SagaFacts, Uncorrelated, collect_events
from tracker.core.correlation import TOO_LONG, Path, Rule
from tracker.core.effect import Alert, Effect, HandOn, Lifecycle, Reply
from tracker.core.fold import fold
from tracker.core.frame import CommandSeen, EventSeen, HandedOn, Joined, Observation, ReceiptSeen
from tracker.core.retention import DAY_MS, Leaving, Retention, leaving
from tracker.core.saga import Joins, Link, encode_saga
from tracker.view.changelog import Change
from tracker.view.export import Cases
from tracker.view.known import Known
from tracker.view.sagas import Sagas

PAYMENT, ORDER_17, ORDER_18 = "s-1", "order:o-17", "order:o-18"
COMMAND = CommandSeen("c-1", "cancel", "ada", "a test", NOON_MS, "", True)
RULE = Rule(
    "shop",
    1,
    ("shop",),
    (),
    (Path(("type",)),),
    keys=tuple((name, (Path((name,)),)) for name in ("order", "payment", "refund")),
)


def handed(effects: list[Effect]) -> list[HandOn]:
    return [effect for effect in effects if isinstance(effect, HandOn)]


def collected(**row: str) -> SagaFacts | str:
    facts: SagaFacts = {}
    uncorrelated: Uncorrelated = Counter()
    collect_events("shop", 0, [Written(value=json.encode(row))], facts, uncorrelated, rules=(RULE,))
    return next(iter(uncorrelated))[1] if uncorrelated else facts


def test_the_first_key_of_a_record_names_its_saga_and_the_others_are_told() -> None:
    told = collected(type="paid", payment="p-9", order="o-17", refund="r-1")
    assert isinstance(told, dict)
    [paid] = told.pop(ORDER_17)
    assert isinstance(paid, EventSeen)
    assert told == {"payment:p-9": [Joined(ORDER_17, 0, 5_000)], "refund:r-1": [Joined(ORDER_17, 0, 5_000)]}

    told = collected(type="paid back", payment="p-9", refund="r-1")
    assert isinstance(told, dict)
    assert told["refund:r-1"] == [Joined("payment:p-9", 1, 5_000)]
    assert list(told["payment:p-9"]) != []

    assert collected(type="paid", order="o-17", payment="p" * 250) == TOO_LONG


def test_what_came_first_and_what_comes_later_is_handed_on_and_nothing_is_kept() -> None:
    play = Play()
    before: list[Observation] = [event("e1", "paid"), receipt("e1", "bank", after_ms=3)]
    play.tell(*before)

    [first] = handed(play.tell(Joined(ORDER_17, 0, NOON_MS)))
    [later] = handed(play.tell(event("e2", "settled"), Joined(ORDER_17, 0, NOON_MS)))

    assert first.saga == later.saga == ORDER_17
    assert first.facts[0] == later.facts[0] == HandedOn((PAYMENT,))
    told: list[Observation] = [fact for fact in first.facts[1:] if isinstance(fact, EventSeen | ReceiptSeen)]
    assert encode_saga(fold(None, ORDER_17, told)) == encode_saga(fold(None, ORDER_17, before))
    assert later.facts[1:] == (event("e2", "settled"),)
    assert play.saga is not None
    assert (play.saga.joined, play.saga.steps) == (ORDER_17, {})


def test_an_operator_who_names_a_saga_by_a_later_key_is_answered_by_the_whole() -> None:
    play = Play()
    play.tell(Joined(ORDER_17, 0, NOON_MS))

    effects = play.tell(COMMAND)

    assert [each.facts[-1] for each in handed(effects)] == [COMMAND]
    assert not any(isinstance(effect, Reply) for effect in effects)


def test_what_was_joined_with_the_later_key_is_told_of_the_earlier_one() -> None:
    play = Play()
    play.tell(Joined("payment:p-9", 1, NOON_MS))

    effects = play.tell(Joined(ORDER_17, 0, NOON_MS))

    assert handed(effects) == [HandOn("payment:p-9", (Joined(ORDER_17, 0, NOON_MS),))]
    assert play.saga is not None
    assert play.saga.joins == Joins((Link(0, ORDER_17), Link(1, "payment:p-9")))


def test_of_two_orders_the_first_counts_and_the_contradiction_is_told_once() -> None:
    play = Play()
    play.tell(Joined(ORDER_17, 0, NOON_MS))

    [alert] = alerts(play.tell(Joined(ORDER_18, 0, NOON_MS)))
    again = play.tell(Joined(ORDER_18, 0, NOON_MS), event("e1", "paid"))

    assert (alert.cause, alert.saga) == ("contradiction", PAYMENT)
    assert f"{PAYMENT} is also joined with {ORDER_18}" in alert.message
    assert [each.saga for each in handed(again)] == [ORDER_17]
    assert alerts(again) == []


def test_the_least_saga_of_a_circle_cuts_it() -> None:
    play = Play()
    play.tell(Joined("z", 0, NOON_MS), event("e1", "paid"))

    effects = play.tell(HandedOn(("a", PAYMENT, "z")), event("e1", "paid"))

    assert [alert.cause for alert in alerts(effects)] == ["contradiction"]
    assert play.saga is not None
    assert (play.saga.joined, list(play.saga.steps)) == ("", ["e1"])
    assert play.tell(Joined("z", 0, NOON_MS)) == []


def test_a_flow_that_began_under_a_later_key_ends_where_it_is_joined() -> None:
    play = Play(ORDER, subscriptions=services())
    assert stages(play.tell(seen("e1", "order.placed", 0))) == ["started"]

    effects = play.tell(Joined(ORDER_17, 0, NOON_MS))

    [joined] = [effect for effect in effects if isinstance(effect, Lifecycle)]
    assert (joined.stage, joined.saga, joined.reason) == ("joined", PAYMENT, ORDER_17)
    assert play.saga is not None
    assert (play.saga.course, play.due) == (None, -1)
    assert not any(isinstance(effect, Alert) for effect in effects)


def test_lists_know_the_whole_only_and_it_is_found_by_every_key() -> None:
    whole = fold(None, ORDER_17, [event("e1", "placed", key=None)])
    of_payment = structs.replace(fold(None, "payment:p-9", []), joins=Joins((Link(0, ORDER_17),)))
    of_refund = structs.replace(fold(None, "refund:r-1", []), joins=Joins((Link(1, "payment:p-9"),)))
    sagas = Sagas(Known())
    alone = fold(None, "payment:p-9", [event("e2", "paid", key=None)])
    sagas.put([Change("payment:p-9", encode_saga(alone), 0)])
    assert [row.id for row in sagas.rows()] == ["payment:p-9"]
    sagas.put([Change(saga.id, encode_saga(saga), 0) for saga in (whole, of_payment, of_refund)])

    assert [row.id for row in sagas.rows()] == [ORDER_17]
    assert [row.id for row in sagas.matching("r-1")] == [ORDER_17]
    assert [row.id for row in sagas.matching("payment:p")] == [ORDER_17]
    assert len(sagas.flows(0)) == 1
    values = [encode_saga(saga) for saga in (whole, of_payment, of_refund)]
    assert [case.id for case in Cases(values, Known(), lambda row: True)] == [ORDER_17]


def test_a_joined_saga_is_kept_for_as_long_as_a_silent_one() -> None:
    play = Play()
    play.tell(Joined(ORDER_17, 0, NOON_MS))
    again = play.saga
    play.tell(Joined(ORDER_17, 0, NOON_MS))
    assert play.saga is again, "nothing new, and yet it would be written"
    assert play.saga is not None
    retention = Retention(kept_ms=DAY_MS, silent_ms=30 * DAY_MS)

    assert leaving(play.saga, NOON_MS + 30 * DAY_MS, play.subscriptions, retention) is None
    assert leaving(play.saga, NOON_MS + 31 * DAY_MS, play.subscriptions, retention) == Leaving(ended=False)
