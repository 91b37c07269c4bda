"""A saga that stands still: what is asked of services, its clocks, its undos, and rules that pause it."""

import pytest
from msgspec import json, structs

from saga.core.pause import PAUSED_TOPIC, PausedSaga
from tests import play
from tests.facts import NOON_MS, receipt
from tests.play import CHARGE_FAST, IN_ALL, ORDER, Play, alerts, replies, stages, types
from tracker.core.cloudevent import cloud_event
from tracker.core.command import Action
from tracker.core.effect import Effect, Hold
from tracker.core.flow import Answer, Flow, Silence, WhenDeadLetter, WhenRetries
from tracker.core.frame import CommandSeen
from tracker.core.retention import Retention, leaving
from tracker.core.status import Status, status, waiting
from tracker.view.clocks import clock_views, running_clocks

TIMED = structs.replace(ORDER, rules=(CHARGE_FAST,))


def command(action: Action, at: int, command_id: str = "") -> CommandSeen:
    return CommandSeen(command_id or f"{action}@{at}", action, "ada", "to look", NOON_MS + at, "", True)


def holds(effects: list[Effect]) -> list[Hold]:
    return [effect for effect in effects if isinstance(effect, Hold)]


def reserved(*flows: Flow) -> Play:
    """An order whose stock was reserved at 10 ms: it has to be charged until 5,010 ms."""
    saga = Play(*flows)
    saga.tell(play.placed(), play.reserved(), now=50)
    return saga


def test_services_are_told_who_paused_it_and_why_and_told_again_when_it_goes_on() -> None:
    saga = reserved(ORDER)

    paused = saga.tell(command("pause", 1_000), now=1_000, wall=1_000)
    resumed = saga.tell(command("resume", 3_000), now=3_000, wall=3_000)

    (hold,), (release,) = holds(paused), holds(resumed)
    topic, key, value, _ = cloud_event(hold)
    assert (topic, key) == (PAUSED_TOPIC, play.SAGA.encode())
    assert json.decode(value or b"", type=PausedSaga) == PausedSaga("ada", "to look", NOON_MS + 1_000)
    assert cloud_event(release)[:3] == (PAUSED_TOPIC, play.SAGA.encode(), None)
    assert stages(paused) + stages(resumed) == ["paused", "resumed"]
    assert [act.action for act in saga.course.history] == ["pause", "resume"]


def test_a_command_that_comes_twice_is_obeyed_once() -> None:
    saga = reserved(ORDER)
    saga.tell(command("pause", 1_000), now=1_000, wall=1_000)
    saga.tell(command("resume", 2_000), now=2_000, wall=2_000)

    again = saga.tell(command("pause", 1_000), now=3_000, wall=3_000)

    assert [reply.accepted for reply in replies(again)] == [True]
    assert holds(again) == []
    assert saga.course.paused is None


@pytest.mark.parametrize(
    ("first", "second", "refusal"),
    [("pause", "pause", "paused already, by ada"), ("note", "resume", "not paused")],
)
def test_what_cannot_be_done_is_refused(first: Action, second: Action, refusal: str) -> None:
    saga = reserved(ORDER)
    saga.tell(command(first, 1_000), now=1_000, wall=1_000)

    (reply,) = replies(saga.tell(command(second, 2_000), now=2_000, wall=2_000))

    assert not reply.accepted
    assert refusal in reply.message


def test_a_saga_that_is_over_is_not_paused() -> None:
    saga = reserved(ORDER)
    saga.tell(play.charged(), play.dispatched(), now=60)

    (reply,) = replies(saga.tell(command("pause", 1_000), now=1_000, wall=1_000))

    assert (reply.accepted, reply.message) == (False, "the saga is completed already")


def test_its_deadlines_move_by_the_length_of_the_pause() -> None:
    saga = reserved(TIMED)

    saga.tell(command("pause", 1_000), now=1_000, wall=1_000)
    assert saga.due == -1, "nothing is due while it stands still"
    assert stages(saga.tell(now=60_000, wall=60_000)) == []
    saga.tell(command("resume", 61_000), now=61_000, wall=61_000)

    assert saga.due == 64_010, "to be warned of 4 s behind the start, and a minute later"
    assert stages(saga.tell(now=64_010)) == ["warned"]
    assert stages(saga.tell(now=65_009)) == []
    assert stages(saga.tell(now=65_010)) == ["breached"]


def test_what_comes_while_it_is_paused_is_in_time() -> None:
    saga = reserved(TIMED)
    saga.tell(command("pause", 1_000), now=1_000, wall=1_000)
    saga.tell(play.charged(50_000), now=50_001, wall=50_001)
    assert saga.saga is not None
    assert [view.stand for view in clock_views(saga.saga, TIMED, NOON_MS + 50_001)] == ["met"]

    saga.tell(command("resume", 61_000), now=61_000, wall=61_000)

    assert stages(saga.tell(now=90_000)) == []
    assert [view.stand for view in clock_views(saga.saga, TIMED, NOON_MS + 90_000)] == ["met"]


def test_a_deadline_that_had_come_is_breached_all_the_same() -> None:
    saga = reserved(TIMED)

    effects = saga.tell(command("pause", 6_000), now=4_000, wall=6_000)
    effects += saga.tell(now=5_010, wall=6_500)

    assert stages(effects) == ["paused", "breached"]


def test_a_pause_does_not_reach_back_to_what_has_been_judged() -> None:
    saga = reserved(TIMED)
    saga.tell(now=5_010, wall=5_010)

    saga.tell(command("pause", 100), now=5_020, wall=5_020)

    assert saga.course.paused is not None
    assert saga.course.paused.from_ms == NOON_MS + 5_020


def test_a_clock_that_starts_while_it_is_paused_runs_from_its_end() -> None:
    saga = Play(structs.replace(ORDER, rules=(CHARGE_FAST,)))
    saga.tell(play.placed(), now=5)
    saga.tell(command("pause", 10), now=10, wall=10)
    saga.tell(play.reserved(1_000), now=1_000, wall=1_000)
    saga.tell(command("resume", 2_000), now=2_000, wall=2_000)

    assert stages(saga.tell(now=6_999)) == ["warned"]
    assert stages(saga.tell(now=7_000)) == ["breached"]


def test_silence_during_a_pause_is_none() -> None:
    flow = structs.replace(ORDER, rules=(Silence("quiet", 1_000),))
    saga = reserved(flow)
    saga.tell(command("pause", 500), now=500, wall=500)
    saga.tell(command("resume", 9_500), now=9_500, wall=9_500)
    saga.tell(play.charged(10_000), now=10_001, wall=10_001)

    assert saga.course.told == ()
    assert stages(saga.tell(now=11_000)) == ["breached"]


def test_a_parked_event_is_not_answered() -> None:
    flow = structs.replace(ORDER, rules=(Answer("soon", 1_000, "stock.reserved", "payments"),))
    saga = reserved(flow)
    saga.tell(command("pause", 100), receipt("e2", "payments", "parked", after_ms=200), now=200, wall=200)
    assert saga.saga is not None
    (owed,) = [owed for owed in waiting(saga.saga, saga.subscriptions) if owed.event == "e2"]
    assert (owed.service, owed.retrying, owed.parked_ms) == ("payments", False, NOON_MS + 200)

    saga.tell(command("resume", 10_100), now=10_100, wall=10_100)
    saga.tell(receipt("e2", "payments", after_ms=10_150), now=10_200)

    assert saga.course.told == ()
    assert [owed.event for owed in waiting(saga.saga, saga.subscriptions)] == ["e1"]


def test_a_paused_saga_stands_as_paused_whatever_it_was() -> None:
    saga = reserved(ORDER)
    saga.tell(command("pause", 1_000), now=1_000, wall=1_000)
    assert saga.saga is not None
    assert status(saga.saga, saga.subscriptions) is Status.PAUSED
    assert running_clocks(saga.saga, ORDER) == ()


def test_nothing_is_undone_while_it_is_paused() -> None:
    saga = reserved(ORDER)
    saga.tell(play.charged(), command("pause", 100), now=100, wall=100)

    assert types(saga.tell(play.lost(200), now=300, wall=300)) == []
    assert saga.course.compensation is not None, "but it is known that it has to be"

    assert types(saga.tell(command("resume", 5_000), now=5_000, wall=5_000)) == ["payment.refund"]


def test_an_attempt_to_undo_has_its_time_without_the_pause() -> None:
    saga = reserved(ORDER)
    saga.tell(play.charged(), play.lost(), now=100, wall=100)
    saga.tell(command("pause", 400), now=400, wall=400)
    saga.tell(now=60_000, wall=60_000)
    saga.tell(command("resume", 60_400), now=60_400, wall=60_400)

    assert saga.undo("e3").attempt == 1
    assert types(saga.tell(now=61_099, wall=61_099)) == []
    assert types(saga.tell(now=61_100, wall=61_100)) == ["payment.refund"]


def test_what_was_confirmed_meanwhile_is_taken_in_when_it_goes_on() -> None:
    saga = reserved(ORDER)
    (refund,) = play.published(saga.tell(play.charged(), play.lost(), now=100, wall=100))
    saga.tell(command("pause", 400), now=400, wall=400)
    assert types(saga.tell(play.undone(refund, "payment.refunded", 500), now=501, wall=501)) == []

    assert types(saga.tell(command("resume", 900), now=900, wall=900)) == ["stock.release"]
    assert saga.undo("e3").status == "confirmed"


def test_a_paused_saga_is_kept() -> None:
    saga = reserved(ORDER)
    saga.tell(command("pause", 100), now=100, wall=100)
    saga.tell(play.charged(), play.dispatched(200), now=300, wall=300)
    assert saga.saga is not None
    month = NOON_MS + 31 * 86_400_000
    assert leaving(saga.saga, month, saga.subscriptions, Retention()) is None

    saga.tell(command("resume", 400), now=400, wall=400)

    left = leaving(saga.saga, month, saga.subscriptions, Retention())
    assert left is not None
    assert left.ended


def test_a_flow_pauses_a_saga_when_a_service_gives_up() -> None:
    saga = reserved(structs.replace(ORDER, pauses=(WhenDeadLetter(("payments",)),), rules=(IN_ALL,)))

    assert holds(saga.tell(receipt("e1", "inventory", "dead-lettered", after_ms=5), now=60)) == []
    given_up = receipt("e2", "payments", "dead-lettered", after_ms=30, error="NoMoney")
    effects = saga.tell(given_up, now=70, wall=70)

    (hold,) = holds(effects)
    assert (hold.by, hold.reason, hold.released) == ("tracker", "payments gave up stock.reserved", False)
    assert [alert.cause for alert in alerts(effects)] == ["paused"]
    assert saga.course.history[-1].by == "tracker"


def test_it_is_paused_once_for_each_failure() -> None:
    saga = reserved(structs.replace(ORDER, pauses=(WhenRetries(3),)))

    def fails(attempt: int, after_ms: int) -> list[Effect]:
        failed = receipt("e2", "payments", "retrying", after_ms=after_ms, attempt=attempt, error="Timeout")
        return holds(saga.tell(failed, now=after_ms, wall=after_ms))  # type: ignore[return-value]

    assert [len(fails(1, 100)), len(fails(2, 200)), len(fails(3, 300))] == [0, 0, 1]
    saga.tell(command("resume", 400), now=400, wall=400)
    assert fails(3, 300) == [], "read again after a crash of the collector"
    assert saga.course.paused is None
    assert len(fails(4, 500)) == 1


def test_an_undo_that_is_given_up_is_stuck_and_not_paused() -> None:
    saga = reserved(structs.replace(ORDER, pauses=(WhenDeadLetter(),)))
    (refund,) = play.published(saga.tell(play.charged(), play.lost(), now=100, wall=100))
    saga.tell(play.command_seen(refund), now=110)

    saga.tell(receipt(refund.id, "payments", "dead-lettered", after_ms=120), now=130)

    assert saga.course.paused is None


def test_nor_is_one_whose_command_is_read_later_than_the_answer() -> None:
    saga = reserved(structs.replace(ORDER, pauses=(WhenDeadLetter(),)))
    (refund,) = play.published(saga.tell(play.charged(), play.lost(), now=100, wall=100))

    saga.tell(receipt(refund.id, "payments", "dead-lettered", after_ms=120), now=130, wall=130)
    assert saga.course.paused is None
    saga.tell(play.command_seen(refund), now=140, wall=140)
    assert saga.course.paused is None


def test_an_event_that_was_given_up_and_is_read_later_than_that_pauses_an_undoing_as_well() -> None:
    saga = reserved(structs.replace(ORDER, pauses=(WhenDeadLetter(),)))
    saga.tell(play.charged(), play.lost(), now=100, wall=100)

    assert holds(saga.tell(receipt("e9", "billing", "dead-lettered", after_ms=120), now=130, wall=130)) == []
    (hold,) = holds(saga.tell(play.seen("e9", "bill.sent", 110, cause="e3"), now=140, wall=140))
    assert hold.reason == "billing gave up bill.sent"
    saga.tell(command("resume", 200), now=200, wall=200)
    assert holds(saga.tell(play.seen("e9", "bill.sent", 110, cause="e3"), now=210, wall=210)) == []


def test_with_both_rules_it_is_undone_when_it_goes_on() -> None:
    compensation = structs.replace(ORDER.compensation, triggers=(WhenDeadLetter(),))
    saga = reserved(structs.replace(ORDER, compensation=compensation, pauses=(WhenDeadLetter(),)))

    assert types(saga.tell(receipt("e2", "payments", "dead-lettered", after_ms=30), now=70, wall=70)) == []
    assert types(saga.tell(command("resume", 500), now=500, wall=500)) == ["stock.release"]


def test_a_saga_of_no_flow_is_paused_as_well() -> None:
    saga = reserved()

    assert len(holds(saga.tell(command("pause", 100), now=100, wall=100))) == 1
    assert len(holds(saga.tell(command("resume", 200), now=200, wall=200))) == 1
