"""Deadlines on the pure core: judged by the watermark, told once, silent about what came in time."""

from msgspec import structs

from tests import play
from tests.facts import NOON_MS, receipt
from tests.play import CHARGE_FAST, IN_ALL, ORDER, Play, alerts, published, stages
from tracker.core.flow import Answer, Emit, Flow, OnBreach, Rule, Silence
from tracker.core.sla import clocks
from tracker.core.timeline import Timeline


def with_rules(*rules: Rule) -> Flow:
    return structs.replace(ORDER, rules=rules)


def test_a_saga_in_time_is_never_spoken_of() -> None:
    saga = Play(with_rules(CHARGE_FAST, IN_ALL))

    saga.tell(play.placed(), play.reserved(), now=50)
    saga.tell(play.charged(), play.dispatched(), now=60)
    saga.tell(now=10_000_000)

    assert stages(saga.effects) == ["started", "completed"]
    assert saga.due == -1


def test_a_warning_then_a_breach_each_once() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), play.reserved(10), now=100)

    assert saga.due == 4_010
    assert stages(saga.tell(now=4_009)) == []
    assert stages(saga.tell(now=4_010)) == ["warned"]
    assert saga.due == 5_010
    assert stages(saga.tell(now=5_009)) == []
    assert stages(saga.tell(now=5_010)) == ["breached"]
    assert saga.due == -1
    assert stages(saga.tell(now=9_000_000)) == []
    assert [alert.cause for alert in alerts(saga.effects)] == ["warning", "breach"]


def test_telling_all_of_it_again_is_silent() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), play.reserved(10), now=6_000)

    assert saga.tell(play.placed(), play.reserved(10), now=6_000) == []


def test_a_replay_after_a_crash_gives_the_same_effects() -> None:
    first, second = Play(with_rules(CHARGE_FAST)), Play(with_rules(CHARGE_FAST))

    for saga in (first, second):
        saga.tell(play.placed(), play.reserved(10), now=6_000)

    assert first.effects == second.effects


def test_an_outage_in_which_all_came_in_time_breaches_nothing() -> None:
    saga = Play(with_rules(CHARGE_FAST, IN_ALL))
    saga.tell(play.placed(), play.reserved(10), now=100)

    # An hour later the rest is read at once; the watermark jumps only after it.
    saga.tell(play.charged(), play.dispatched(), now=3_600_000)

    assert stages(saga.effects) == ["started", "completed"]


def test_an_outage_in_which_something_never_came_is_told_at_once() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), play.reserved(10), now=100)

    assert stages(saga.tell(now=3_600_000)) == ["breached"]


def test_what_came_late_is_told_with_by_how_much() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), play.reserved(10), now=100)
    saga.tell(play.charged(7_010), now=8_000)

    assert [told.late_ms for told in saga.course.told] == [2_000]


def test_what_comes_after_its_breach_is_noted_and_not_told_again() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), play.reserved(10), now=6_000)

    effects = saga.tell(play.charged(9_010), now=10_000)

    assert [told.late_ms for told in saga.course.told] == [4_000]
    assert stages(effects) == []


def test_a_deadline_after_the_end_does_nothing() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), play.reserved(10), play.seen("e9", "order.cancelled", 500), now=600)

    assert stages(saga.tell(now=100_000)) == []


def test_a_deadline_before_the_end_that_was_not_judged_yet_is_told() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), play.reserved(10), play.seen("e9", "order.cancelled", 7_000), now=600)

    assert stages(saga.tell(now=100_000)) == ["breached"]


def test_without_time_nothing_is_judged() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), play.reserved(10), play.charged(99_000), now=None)

    assert stages(saga.effects) == ["started"]


def test_an_effect_counts_even_if_its_clock_is_behind_that_of_its_cause() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), play.reserved(1_000), play.charged(900), now=100_000)

    assert "breached" not in stages(saga.effects)


def test_an_earlier_event_of_the_awaited_type_does_not_stop_the_clock() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    earlier = play.seen("e0", "payment.charged", 5, cause="e1")
    saga.tell(play.placed(), earlier, play.reserved(10), now=100_000)

    assert "breached" in stages(saga.effects)


def test_silence_is_broken_by_any_event() -> None:
    saga = Play(with_rules(Silence("quiet", 1_000)))
    saga.tell(play.placed(), now=900)
    saga.tell(play.reserved(900), now=1_800)
    assert stages(saga.effects) == ["started"]

    assert stages(saga.tell(now=1_900)) == ["breached"]


def test_a_silence_that_lies_behind_is_found() -> None:
    saga = Play(with_rules(Silence("quiet", 1_000)))

    saga.tell(play.placed(0), play.reserved(1_500), play.charged(1_600), now=1_700)

    assert [(told.due_ms - NOON_MS, told.late_ms) for told in saga.course.told] == [(1_000, 500)]


def test_the_end_is_no_silence() -> None:
    saga = Play(with_rules(Silence("quiet", 1_000)))
    saga.tell(play.placed(), play.reserved(), play.charged(), play.dispatched(), now=100_000)

    assert "breached" not in stages(saga.effects)


def test_each_event_has_a_clock_for_its_answer() -> None:
    rule = Answer("payments-answer", 1_000, "stock.reserved", "payments", warn_ms=500)
    saga = Play(with_rules(rule))
    other = play.seen("e2b", "stock.reserved", 300, cause="e1")

    saga.tell(play.placed(), play.reserved(0), other, receipt("e2", "payments", after_ms=5), now=2_000)

    assert [(told.event, told.breached) for told in saga.course.told] == [("e2b", True)]


def test_a_handler_that_tries_again_has_not_answered() -> None:
    saga = Play(with_rules(Answer("payments-answer", 1_000, "stock.reserved", "payments")))
    saga.tell(play.placed(), play.reserved(0), receipt("e2", "payments", "retrying", after_ms=5), now=999)
    assert saga.due == 1_000

    saga.tell(receipt("e2", "payments", "handled", after_ms=2_500, attempt=2, took_ms=100), now=3_000)

    assert [told.late_ms for told in saga.course.told] == [1_600]


def test_a_breach_can_publish_an_event() -> None:
    escalate = OnBreach(alert=False, emit=Emit("payment.declined"))
    saga = Play(with_rules(structs.replace(CHARGE_FAST, on_breach=escalate)))

    saga.tell(play.placed(), play.reserved(10), now=6_000)

    (publish,) = published(saga.effects)
    assert (publish.type, publish.topic, publish.cause) == ("payment.declined", "payments-topic", "e1")
    assert alerts(saga.effects) == []


def test_a_saga_keeps_the_version_it_began_with() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.placed(), now=5)
    saga.flows = type(saga.flows)((with_rules(CHARGE_FAST), structs.replace(ORDER, version=2)))

    saga.tell(play.reserved(10), now=6_000)

    assert saga.course.flow_version == 1
    assert stages(saga.effects) == ["started", "breached"]


def test_a_saga_that_was_under_way_before_there_was_a_flow_is_left_alone() -> None:
    saga = Play()
    saga.tell(play.placed(), now=5)
    saga.flows = type(saga.flows)((with_rules(CHARGE_FAST),))

    saga.tell(play.reserved(10), now=1_000_000)

    assert saga.saga is not None
    assert saga.saga.course is None


def test_the_first_event_may_come_last() -> None:
    saga = Play(with_rules(CHARGE_FAST))
    saga.tell(play.charged(), now=50)
    saga.tell(play.reserved(), now=50)
    assert saga.effects == []

    saga.tell(play.placed(), now=60)

    assert stages(saga.effects) == ["started"]
    assert saga.due == -1


def test_clocks_are_listed_whether_they_run_or_not() -> None:
    flow = with_rules(CHARGE_FAST, IN_ALL)
    saga = Play(flow)
    saga.tell(play.placed(), play.reserved(10), play.charged(20), now=50)

    assert saga.saga is not None
    listed = {clock.rule.name: clock for clock in clocks(flow, Timeline(saga.saga))}
    assert listed["charge-fast"].met_ms == NOON_MS + 20
    assert (listed["in-all"].met_ms, listed["in-all"].due_ms) == (-1, NOON_MS + 60_000)
