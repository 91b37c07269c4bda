"""How a saga stands that follows a flow."""

import pytest

from tests import play
from tests.facts import NOON_MS, receipt
from tests.play import ORDER, Play, command_seen, published
from tracker.core.chain import flow_name
from tracker.core.frame import CommandSeen
from tracker.core.status import Status, status


def stands(saga: Play) -> Status:
    assert saga.saga is not None
    return status(saga.saga, saga.subscriptions)


def declined() -> Play:
    saga = Play(ORDER)
    saga.tell(play.placed(), play.reserved(), play.declined(), now=50)
    return saga


def test_it_is_completed_where_its_flow_says_so_whoever_still_has_to_answer() -> None:
    saga = Play(ORDER)
    saga.tell(play.placed(), play.reserved(), play.charged(), play.dispatched())

    assert stands(saga) is Status.COMPLETED
    assert saga.saga is not None
    assert flow_name(saga.saga) == "order"


def test_answers_do_not_complete_it() -> None:
    saga = Play(ORDER)
    saga.tell(play.placed(), receipt("e1", "inventory", "ignored"))

    assert stands(saga) is Status.OPEN


def test_a_dead_letter_does_not_end_it() -> None:
    saga = Play(ORDER)
    saga.tell(play.placed(), receipt("e1", "inventory", "dead-lettered", error="E"))

    assert stands(saga) is Status.OPEN


def test_it_is_retrying_as_long_as_a_handler_is() -> None:
    saga = Play(ORDER)
    saga.tell(play.placed(), receipt("e1", "inventory", "retrying", error="E"))

    assert stands(saga) is Status.RETRYING


def test_it_has_failed_where_its_flow_says_so() -> None:
    saga = Play(ORDER)
    saga.tell(play.placed(), play.seen("e9", "order.cancelled", 20, cause="e1"))

    assert stands(saga) is Status.FAILED


def test_it_is_compensating_until_all_is_undone() -> None:
    saga = declined()
    (release,) = published(saga.effects)
    saga.tell(command_seen(release), now=60)
    assert stands(saga) is Status.COMPENSATING

    saga.tell(play.undone(release, "stock.released", 70), now=80)
    assert stands(saga) is Status.COMPENSATED

    *_, cancelled = published(saga.effects)
    saga.tell(command_seen(cancelled), now=90)
    assert stands(saga) is Status.COMPENSATED


def test_it_is_compensating_while_nobody_knows_the_last_event() -> None:
    saga = Play(ORDER, subscriptions=play.services("orders"))
    saga.tell(play.placed(), play.seen("e3", "payment.declined", 20, cause="e1"), now=50)

    assert stands(saga) is Status.COMPENSATING


def test_it_is_stuck_when_an_undo_is() -> None:
    saga = declined()
    saga.tell(now=1_000, wall=1_000)
    saga.tell(now=2_000, wall=2_000)

    assert stands(saga) is Status.STUCK

    skip = CommandSeen("c1", "skip", "ada", "counted anew", NOON_MS + 3_000, "", True)
    saga.tell(skip, now=3_000, wall=3_000)
    assert stands(saga) is Status.COMPENSATED


@pytest.mark.parametrize(("undo", "expected"), [(False, Status.CANCELLED), (True, Status.COMPENSATING)])
def test_a_cancelled_one_is_undone_first_if_that_is_wanted(undo: bool, expected: Status) -> None:
    saga = Play(ORDER)
    cancel = CommandSeen("c1", "cancel", "ada", "the customer called", NOON_MS + 100, "", undo)
    saga.tell(play.placed(), play.reserved(), now=50)
    saga.tell(cancel, now=200, wall=200)

    assert stands(saga) is expected


def test_one_of_no_flow_can_be_cancelled_too() -> None:
    saga = Play()
    saga.tell(play.placed())
    saga.tell(CommandSeen("c1", "cancel", "ada", "a test order", NOON_MS + 100, "", False))

    assert stands(saga) is Status.CANCELLED
