"""What operators may ask of a saga, and what is answered."""

import pytest
from msgspec import structs

from tests import play
from tests.facts import NOON_MS
from tests.play import ORDER, Play, published, replies, stages, types
from tracker.core.command import Action
from tracker.core.flow import Milestone
from tracker.core.frame import CommandSeen


def command(
    action: Action,
    *,
    after_ms: int = 1_000,
    event: str = "",
    undo: bool = True,
    by: str = "ada",
    reason: str = "the customer called",
    command_id: str = "c1",
) -> CommandSeen:
    return CommandSeen(command_id, action, by, reason, NOON_MS + after_ms, event, undo)


def under_way() -> Play:
    saga = Play(ORDER)
    saga.tell(play.placed(), play.reserved(), play.charged(), now=50)
    return saga


def stuck() -> Play:
    """The refund has failed twice and is stuck; the release waits behind it."""
    saga = under_way()
    saga.tell(play.lost(), now=60)
    saga.tell(now=1_000, wall=1_000)
    saga.tell(now=2_000, wall=2_000)
    assert saga.undo("e3").status == "stuck"
    return saga


def answer(saga: Play, asked: CommandSeen, now: int = 3_000) -> str:
    """The message of the refusal, "" if it was accepted."""
    (reply,) = replies(saga.tell(asked, now=now, wall=now))
    assert reply.command == asked.id
    return "" if reply.accepted else reply.message


def test_compensating_by_hand() -> None:
    saga = under_way()

    assert answer(saga, command("compensate")) == ""

    assert types(saga.effects) == ["payment.refund"]
    assert saga.course.compensation is not None
    assert saga.course.compensation.reason == "the customer called"
    (act,) = saga.course.history
    assert (act.by, act.reason, act.accepted) == ("ada", "the customer called", True)


def test_by_hand_a_saga_past_its_pivot_is_undone_as_well() -> None:
    saga = Play(structs.replace(ORDER, events={**ORDER.events, "parcel.dispatched": Milestone(pivot=True)}))
    saga.tell(play.placed(), play.reserved(), play.dispatched(15), play.charged(20), now=50)

    assert answer(saga, command("compensate")) == ""

    assert types(saga.effects) == ["payment.refund"]
    assert saga.course.compensation is not None
    assert [undo.event for undo in saga.course.compensation.undos] == ["e3", "e2"]


def test_cancelling_undoes_and_ends() -> None:
    saga = under_way()

    assert answer(saga, command("cancel")) == ""

    assert types(saga.effects) == ["payment.refund"]
    assert saga.course.outcome == "cancelled"


def test_cancelling_without_undo_ends_only() -> None:
    saga = under_way()

    assert answer(saga, command("cancel", undo=False)) == ""

    assert types(saga.effects) == []
    assert stages(saga.effects) == ["started", "cancelled"]


def test_a_stuck_undo_is_tried_once_more_with_all_its_attempts() -> None:
    saga = stuck()
    commands_before = len(published(saga.effects))

    assert answer(saga, command("retry")) == ""

    assert len(published(saga.effects)) == commands_before + 1
    assert (saga.undo("e3").status, saga.undo("e3").attempt, saga.undo("e3").left) == ("running", 3, 1)


@pytest.mark.parametrize("action", ["skip", "done"])
def test_a_stuck_undo_is_left_or_taken_for_done_and_the_next_one_goes_on(action: Action) -> None:
    saga = stuck()

    assert answer(saga, command(action, event="e3")) == ""

    assert saga.undo("e3").settled
    assert types(saga.effects)[-1] == "stock.release"


def test_a_note_changes_nothing_but_the_history() -> None:
    saga = under_way()
    before = saga.saga

    assert answer(saga, command("note")) == ""

    assert before is not None
    assert saga.saga is not None
    assert saga.saga.steps == before.steps
    assert [act.action for act in saga.course.history] == ["note"]


def test_the_same_command_twice_is_obeyed_once_and_answered_twice() -> None:
    saga = stuck()

    first = saga.tell(command("retry"), now=3_000, wall=3_000)
    second = saga.tell(command("retry"), now=3_000, wall=3_000)

    assert replies(first) == replies(second)
    assert published(second) == []
    assert len(saga.course.history) == 1


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (command("compensate", reason=""), "`reason`"),
        (command("note", by=""), "`by`"),
        (command("retry"), "not being compensated"),
        (command("skip"), "not being compensated"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(asked: CommandSeen, refusal: str) -> None:
    saga = under_way()

    assert refusal in answer(saga, asked)

    assert not saga.course.history[0].accepted


def test_what_comes_too_late_is_refused() -> None:
    saga = stuck()
    assert "already" in answer(saga, command("compensate"))
    assert "e2" in answer(saga, command("retry", event="e2", command_id="c2"))
    assert answer(saga, command("skip", command_id="c3")) == ""
    assert "no undo is stuck" in answer(saga, command("skip", command_id="c4"))

    ended = under_way()
    ended.tell(play.dispatched(), now=100)
    assert "completed already" in answer(ended, command("cancel"))


def test_a_command_for_a_saga_that_nobody_knows_makes_none() -> None:
    saga = Play(ORDER)

    assert "no saga with this id" in answer(saga, command("note"))

    assert saga.saga is None


def test_a_saga_of_no_flow_can_be_noted_and_cancelled_but_not_compensated() -> None:
    saga = Play()
    saga.tell(play.placed(), now=50)

    assert answer(saga, command("note")) == ""
    assert "no known flow" in answer(saga, command("compensate", command_id="c2"))
    assert "no known flow" in answer(saga, command("cancel", command_id="c3"))
    assert answer(saga, command("cancel", undo=False, command_id="c4")) == ""
    assert saga.course.outcome == "cancelled"


def test_commands_are_obeyed_in_the_order_in_which_they_were_given() -> None:
    saga = stuck()
    later = command("skip", after_ms=2_000, command_id="c2")

    saga.tell(later, command("retry"), now=3_000, wall=3_000)

    assert [act.accepted for act in saga.course.history] == [True, False]


def test_the_history_is_bounded() -> None:
    saga = under_way()
    for number in range(150):
        saga.tell(command("note", command_id=f"c{number}"), now=50)

    assert len(saga.course.history) == 100
    assert saga.course.history[-1].command == "c149"
