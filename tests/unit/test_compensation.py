"""Compensation on the pure core: the ordinary way, and the hard cases one by one."""

from msgspec import json, structs

from tests import play
from tests.facts import NOON_MS, receipt
from tests.play import ORDER, Formula, Play, alerts, published, services, stages, types
from tracker.core.course import UndoState
from tracker.core.flow import (
    Compensation,
    Emit,
    Flow,
    Milestone,
    Undo,
    WhenBreach,
    WhenDeadLetter,
    WhenEvent,
)


def begun(flow: Flow = ORDER) -> Play:
    """An order that was charged and then declined by the carrier: both steps are to be undone."""
    saga = Play(flow)
    saga.tell(play.placed(), play.reserved(), play.charged(), now=50)
    saga.tell(play.lost(), now=60)
    return saga


PARALLEL = structs.replace(ORDER, compensation=structs.replace(ORDER.compensation, order="parallel"))
PIVOT = structs.replace(ORDER, events={**ORDER.events, "parcel.dispatched": Milestone(pivot=True)})


def test_the_newest_is_undone_first_and_each_waits_for_the_one_before() -> None:
    saga = begun()
    (refund,) = published(saga.effects)
    assert (refund.type, refund.topic, refund.key, refund.cause) == (
        "payment.refund",
        "payments-topic",
        "o-1042",
        "e3",
    )

    effects = saga.tell(play.undone(refund, "payment.refunded", 70), now=80)
    (release,) = published(effects)
    assert release.type == "stock.release"

    effects = saga.tell(play.undone(release, "stock.released", 90), now=100)
    (cancelled,) = published(effects)
    assert cancelled.type == "order.cancelled"
    assert stages(saga.effects) == ["started", "compensating", "compensated"]
    saga.tell(play.command_seen(cancelled), now=110)
    assert saga.due == -1


def test_the_last_event_is_published_again_if_it_does_not_come_back() -> None:
    """Kafka may have refused it: its topic was without a leader."""
    saga = Play(ORDER)
    saga.tell(play.placed(), play.seen("e3", "payment.declined", 20, cause="e1"), now=50)
    (cancelled,) = published(saga.effects)

    assert saga.tell(now=59_999, wall=60_000) == []
    (again,) = published(saga.tell(now=60_000, wall=60_100))

    assert again.id == cancelled.id
    assert saga.tell(play.command_seen(again), now=60_200) == []
    assert saga.due == -1


def test_the_last_event_is_published_again_though_another_round_was_made_meanwhile() -> None:
    """Seed 21315 of the simulation: the saga never ended."""
    saga = Play(ORDER)
    saga.tell(play.placed(), play.seen("e3", "payment.declined", 20, cause="e1"), now=50)
    (cancelled,) = published(saga.effects)
    (release,) = published(saga.tell(play.reserved(), now=60))
    saga.tell(play.undone(release, "stock.released", 70), now=80)

    (again,) = published(saga.tell(now=60_000, wall=60_100))

    assert again.id == cancelled.id
    saga.tell(play.command_seen(again), now=60_200)
    assert saga.due == -1
    assert stages(saga.effects)[-4:] == ["compensating", "compensated", "compensating", "compensated"]


def test_a_command_carries_the_data_of_the_event_it_undoes() -> None:
    saga = begun()

    (refund,) = published(saga.effects)

    assert json.decode(refund.data) == {"about": "payment.charged", "order_id": "o-1042"}


def test_names_that_differ_are_mapped() -> None:
    command = Emit(
        "payment.refund",
        {
            "order": Formula(lambda names: names["data"]["order_id"]),
            "began": Formula(lambda names: names["first"]["about"]),
            "why": Formula(lambda names: names["reason"]),
        },
    )
    undo = Undo(command, "payment.refunded")
    saga = begun(structs.replace(ORDER, events={"payment.charged": Milestone("payments", undo)}))

    (refund,) = published(saga.effects)

    assert json.decode(refund.data) == {"order": "o-1042", "began": "order.placed", "why": "parcel.lost"}


def test_in_parallel_all_are_undone_at_once() -> None:
    saga = begun(PARALLEL)

    assert sorted(types(saga.effects)) == ["payment.refund", "stock.release"]

    refund, release = sorted(published(saga.effects), key=lambda command: command.type)
    saga.tell(play.undone(release, "stock.released", 70), now=80)
    assert "compensated" not in stages(saga.effects)
    saga.tell(play.undone(refund, "payment.refunded", 75), now=85)
    assert stages(saga.effects)[-1] == "compensated"


def test_the_undo_of_a_step_that_never_happened_is_not_sent() -> None:
    saga = Play(ORDER)
    saga.tell(play.placed(), play.reserved(), play.declined(), now=50)

    assert types(saga.effects) == ["stock.release"]


def test_nothing_to_undo_is_compensated_at_once() -> None:
    saga = Play(ORDER)
    saga.tell(play.placed(), play.seen("e3", "payment.declined", 20, cause="e1"), now=50)

    assert stages(saga.effects) == ["started", "compensating", "compensated"]
    assert types(saga.effects) == ["order.cancelled"]


def test_an_action_that_arrives_while_compensating_is_undone_too() -> None:
    saga = Play(ORDER)
    saga.tell(play.placed(), play.reserved(), play.lost(15), now=50)
    (release,) = published(saga.effects)

    assert types(saga.tell(play.charged(), now=60)) == []  # one after the other
    effects = saga.tell(play.undone(release, "stock.released", 70), now=80)

    assert types(effects) == ["payment.refund"]
    assert "compensated" not in stages(saga.effects)


def test_an_action_that_arrives_after_all_was_undone_begins_another_round() -> None:
    saga = Play(ORDER)
    saga.tell(play.placed(), play.reserved(), play.lost(15), now=50)
    (release,) = published(saga.effects)
    saga.tell(play.undone(release, "stock.released", 70), now=80)
    assert stages(saga.effects)[-1] == "compensated"

    effects = saga.tell(play.charged(), now=90)

    assert types(effects) == ["payment.refund"]
    assert stages(effects) == ["compensating"]
    effects = saga.tell(play.undone(published(effects)[0], "payment.refunded", 95), now=99)
    assert stages(effects) == ["compensated"]
    assert types(effects) == []  # order.cancelled has been said


def test_triggered_twice_is_triggered_once() -> None:
    saga = begun()

    effects = saga.tell(play.seen("e6", "payment.declined", 45, cause="e2"), play.lost(), now=70)

    assert effects == []


def test_a_step_that_its_service_has_undone_by_itself_is_not_undone_again() -> None:
    saga = Play(ORDER)
    by_itself = play.seen("e8", "stock.released", 18, cause="e2")

    saga.tell(play.placed(), play.reserved(), by_itself, play.declined(), now=50)

    assert types(saga.effects) == ["order.cancelled"]


def test_a_confirmation_without_a_cause_counts_if_there_is_one_step_only() -> None:
    saga = begun(PARALLEL)

    saga.tell(play.seen("e8", "stock.released", 70), now=80)

    assert saga.undo("e2").status == "confirmed"
    assert saga.undo("e3").status == "running"


def test_an_undo_without_an_answer_is_asked_for_again_under_the_same_id() -> None:
    """A service that was only slow finds both, and obeys one."""
    saga = begun()
    (first,) = published(saga.effects)
    assert saga.due == 1_000

    assert saga.tell(now=999) == []
    (second,) = published(saga.tell(now=1_000, wall=1_100))

    assert (second.type, second.id) == (first.type, first.id)
    assert saga.undo("e3").attempt == 2
    assert saga.due == 2_100  # undo_within, from the tracker's clock on


def test_the_answer_to_an_earlier_attempt_counts() -> None:
    saga = begun()
    (first,) = published(saga.effects)
    saga.tell(now=1_000)

    saga.tell(play.undone(first, "payment.refunded", 1_050), now=1_060)

    assert saga.undo("e3").status == "confirmed"


def test_an_undo_that_fails_again_and_again_is_stuck_and_holds_up_what_is_behind_it() -> None:
    saga = begun()
    saga.tell(now=1_000, wall=1_000)

    effects = saga.tell(now=2_000, wall=2_000)

    assert stages(effects) == ["stuck"]
    assert [alert.cause for alert in alerts(effects)] == ["stuck"]
    assert "no payment.refunded within 1 s" in alerts(effects)[0].message
    assert saga.due == -1
    assert saga.tell(now=900_000) == []
    assert saga.undo("e2") == UndoState("e2")


def test_a_command_that_its_service_gave_up_is_repeated_when_its_time_is_over() -> None:
    saga = begun()
    (first,) = published(saga.effects)
    given_up = receipt(first.id, "payments", "dead-lettered", after_ms=100, error="NoSuchPayment")

    assert saga.tell(play.command_seen(first), given_up, now=150) == []
    (second,) = published(saga.tell(now=1_000, wall=1_000))
    assert saga.tell(given_up, now=1_050) == []  # that was the first attempt, told once more
    effects = saga.tell(
        receipt(second.id, "payments", "dead-lettered", after_ms=1_100, error="NoSuchPayment"), now=1_150
    )

    assert stages(effects) == ["stuck"]  # it was the last attempt: nothing more to wait for
    assert "NoSuchPayment" in saga.undo("e3").error


def test_a_stuck_undo_that_is_confirmed_after_all_goes_on() -> None:
    saga = begun()
    (first,) = published(saga.effects)
    saga.tell(now=1_000, wall=1_000)
    saga.tell(now=2_000, wall=2_000)

    effects = saga.tell(play.undone(first, "payment.refunded", 3_000), now=3_100)

    assert types(effects) == ["stock.release"]


def test_a_command_that_nobody_handles_waits_until_somebody_does() -> None:
    saga = Play(ORDER, subscriptions=services("payments"))
    saga.tell(play.placed(), play.reserved(), play.charged(), play.lost(), now=50)
    assert [alert.cause for alert in alerts(saga.effects)] == ["undeliverable"]
    assert saga.due == 10_000

    assert alerts(saga.tell(now=10_000, wall=10_000)) == []  # told once
    saga.subscriptions = services()

    assert types(saga.tell(now=20_000, wall=20_000)) == ["payment.refund"]


def test_an_event_that_ends_it_waits_until_somebody_knows_it() -> None:
    saga = Play(ORDER, subscriptions=services("orders"))
    saga.tell(play.placed(), play.seen("e3", "payment.declined", 20, cause="e1"), now=50)
    assert stages(saga.effects) == ["started", "compensating"]
    assert [alert.cause for alert in alerts(saga.effects)] == ["undeliverable"]

    saga.subscriptions = services()
    effects = saga.tell(now=10_000, wall=10_000)

    assert types(effects) == ["order.cancelled"]
    assert stages(effects) == ["compensated"]


def test_an_event_that_ends_it_may_come_from_somebody_who_is_not_announced() -> None:
    saga = Play(ORDER, subscriptions=services("orders"))
    saga.tell(play.placed(), play.seen("e3", "payment.declined", 20, cause="e1"), now=50)

    effects = saga.tell(play.seen("e9", "order.cancelled", 60, cause="e1"), now=70)

    assert types(effects) == []
    assert stages(effects) == ["compensated"]
    assert saga.course.outcome == "failed"
    assert saga.course.compensation is not None
    assert saga.course.compensation.then_due_ms == -1  # nothing is left to do: it can leave


def test_a_payload_that_is_not_known_makes_the_undo_stuck() -> None:
    saga = Play(ORDER)
    bare = structs.replace(play.reserved(), data=None)
    saga.tell(play.placed(), bare, play.declined(), now=50)

    assert stages(saga.effects) == ["started", "compensating", "stuck"]
    assert "payload" in saga.undo("e2").error


def test_behind_the_pivot_nothing_is_undone_by_itself() -> None:
    saga = Play(PIVOT)
    saga.tell(play.placed(), play.reserved(), play.charged(), play.dispatched(), now=50)

    effects = saga.tell(play.lost(), now=60)

    assert [alert.cause for alert in alerts(effects)] == ["past-pivot"]
    assert saga.course.compensation is None


def test_what_comes_behind_a_pivot_that_comes_while_compensating_is_left() -> None:
    saga = Play(PIVOT)
    saga.tell(play.placed(), play.reserved(), play.lost(15), now=50)

    dispatched = play.seen("e4", "parcel.dispatched", 30, cause="e2")
    effects = saga.tell(dispatched, play.charged(40), now=60)

    assert [alert.cause for alert in alerts(effects)] == ["past-pivot"]
    assert saga.course.compensation is not None
    assert [undo.event for undo in saga.course.compensation.undos] == ["e2"]


def test_an_effect_is_undone_before_its_cause_though_its_clock_is_behind() -> None:
    saga = Play(ORDER)
    effects = saga.tell(play.placed(0), play.reserved(500), play.charged(20), play.lost(600), now=650)

    assert types(effects) == ["payment.refund"]


def test_what_led_to_a_pivot_is_before_it_though_its_clock_is_ahead() -> None:
    saga = Play(PIVOT)
    saga.tell(play.placed(0), play.reserved(10), play.charged(500), play.lost(15), now=50)
    saga.tell(play.dispatched(30), now=60)

    assert saga.course.compensation is not None
    assert [undo.event for undo in saga.course.compensation.undos] == ["e3", "e2"]


def test_a_condition_decides() -> None:
    dear = WhenEvent("parcel.lost", Formula(lambda names: names["data"]["value"] > 100))
    flow = structs.replace(ORDER, compensation=Compensation((dear,)))

    def lost(value: object) -> Play:
        saga = Play(flow)
        event = structs.replace(play.lost(), data=json.encode({"value": value}))
        saga.tell(play.placed(), play.reserved(), event, now=60)
        return saga

    assert types(lost(101).effects) == ["stock.release"]
    assert types(lost(99).effects) == []


def test_a_condition_without_an_answer_is_an_alert_and_no_compensation() -> None:
    dear = WhenEvent("parcel.lost", Formula(lambda names: names["data"]["value"] > 100))
    saga = Play(structs.replace(ORDER, compensation=Compensation((dear,))))

    saga.tell(play.placed(), play.reserved(), play.lost(), now=60)

    assert [alert.cause for alert in alerts(saga.effects)] == ["expression"]
    assert types(saga.effects) == []


def test_a_dead_letter_triggers() -> None:
    saga = Play(structs.replace(ORDER, compensation=Compensation((WhenDeadLetter(("shipping",)),))))
    saga.tell(play.placed(), play.reserved(), play.charged(), now=50)

    assert saga.tell(receipt("e2", "payments", "dead-lettered", after_ms=20), now=60) == []
    effects = saga.tell(receipt("e3", "shipping", "dead-lettered", after_ms=30), now=70)

    assert stages(effects) == ["compensating"]
    assert saga.course.compensation is not None
    assert saga.course.compensation.reason == "shipping gave up payment.charged"


def test_a_dead_letter_after_the_end_takes_nothing_back() -> None:
    saga = Play(structs.replace(ORDER, compensation=Compensation((WhenDeadLetter(),))))
    saga.tell(play.placed(), play.reserved(), play.charged(), play.dispatched(), now=50)

    saga.tell(receipt("e4", "statistics", "dead-lettered", after_ms=40), now=70)

    assert saga.course.compensation is None


def test_a_breach_triggers_and_stops_the_other_clocks() -> None:
    flow = structs.replace(
        ORDER,
        rules=(play.CHARGE_FAST, play.IN_ALL),
        compensation=Compensation((WhenBreach("charge-fast"),)),
    )
    saga = Play(flow)
    saga.tell(play.placed(), play.reserved(10), now=100)

    effects = saga.tell(now=5_010, wall=5_100)

    assert stages(effects) == ["breached", "compensating"]
    (release,) = published(effects)
    saga.tell(play.undone(release, "stock.released", 5_200), now=5_300)
    assert "breached" not in stages(saga.tell(now=1_000_000, wall=1_000_000))


def test_the_times_of_an_attempt_are_judged_by_the_watermark() -> None:
    """The tracker was down while the service answered in time: nothing is sent twice."""
    saga = begun()
    (refund,) = published(saga.effects)

    effects = saga.tell(play.undone(refund, "payment.refunded", 300), now=3_600_000, wall=3_600_000)

    assert types(effects) == ["stock.release"]


def test_a_crash_between_deciding_and_writing_repeats_the_same_commands() -> None:
    saga = begun()
    before, sent = saga.saga, published(saga.effects)
    saga.effects.clear()
    # The effects were sent, the state was not written: the frames are read once more.
    again = Play(ORDER)
    again.tell(play.placed(), play.reserved(), play.charged(), now=50)
    again.tell(play.lost(), now=60)

    assert published(again.effects) == sent
    assert again.saga == before
    # The state was written, the offset was not: the frames are read on top of it.
    saga.tell(play.placed(), play.reserved(), play.charged(), now=50)
    saga.tell(play.lost(), now=60)
    assert saga.effects == []


def test_the_time_of_the_trigger_is_that_of_the_event() -> None:
    saga = begun()

    assert saga.course.compensation is not None
    assert saga.course.compensation.at_ms == NOON_MS + 40
