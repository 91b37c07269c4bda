"""How a saga stands at each point of its way."""

import pytest

from tests.facts import (
    CHARGED,
    DISPATCHED,
    GIVEN_UP,
    NOON_MS,
    PLACED,
    RESERVED,
    SERVICES,
    announcement,
    event,
    receipt,
)
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.status import Status, Waiting, dead_letters, status, waiting
from tracker.core.subscriptions import Subscriptions

SUBSCRIPTIONS = Subscriptions(SERVICES)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(PLACED[:1], Status.OPEN, id="nobody has answered"),
        pytest.param(PLACED[1:], Status.OPEN, id="the event itself has not been read"),
        pytest.param(PLACED + RESERVED, Status.RETRYING, id="a handler tries again"),
        pytest.param(PLACED + RESERVED + CHARGED, Status.OPEN, id="the next one has not answered"),
        pytest.param(PLACED + RESERVED + CHARGED + DISPATCHED, Status.COMPLETED, id="all have answered"),
        pytest.param(PLACED + RESERVED + CHARGED + GIVEN_UP, Status.FAILED, id="the last one gave up"),
        pytest.param(PLACED + CHARGED + GIVEN_UP, Status.OPEN, id="one gave up, and another event is unread"),
        pytest.param([event("e1", "nobody.cares")], Status.COMPLETED, id="nobody is subscribed"),
        pytest.param(
            [event("e1", "order.placed"), receipt("e1", "inventory", "ignored")],
            Status.COMPLETED,
            id="ignoring is an answer",
        ),
    ],
)
def test_a_saga_stands_as_its_answers_say(facts: list[Observation], expected: Status) -> None:
    assert status(fold(None, "s", facts), SUBSCRIPTIONS) is expected


def test_a_failure_among_services_that_still_work_is_open() -> None:
    both = Subscriptions([announcement("a", "t"), announcement("b", "t")])
    saga = fold(None, "s", [event("e1", "t"), receipt("e1", "a", "dead-lettered", error="E")])

    assert status(saga, both) is Status.OPEN
    assert status(fold(saga, "s", [receipt("e1", "b")]), both) is Status.FAILED
    assert [letter.handling.service for letter in dead_letters(saga)] == ["a"]


def test_who_is_waited_for_longest_comes_first() -> None:
    both = Subscriptions([announcement("a", "t"), announcement("b", "u")])
    saga = fold(None, "s", [event("e2", "u", after_ms=5), event("e1", "t", after_ms=9)])

    assert waiting(saga, both) == [
        Waiting("e2", "u", "b", "handle", NOON_MS + 5),
        Waiting("e1", "t", "a", "handle", NOON_MS + 9),
    ]


def test_a_retry_tells_its_attempt_its_reason_and_when_it_goes_on() -> None:
    (answer,) = waiting(fold(None, "s", PLACED + RESERVED), SUBSCRIPTIONS)

    assert answer == Waiting(
        "e2", "stock.reserved", "payments", "handle", NOON_MS + 14, 1, "Timeout", NOON_MS + 1_020
    )


def test_a_service_may_answer_with_a_handler_of_another_name() -> None:
    saga = fold(None, "s", [event("e1", "order.placed"), receipt("e1", "inventory", handler="renamed")])

    assert waiting(saga, SUBSCRIPTIONS) == []


def test_a_retry_is_waited_for_even_when_its_service_never_announced_itself() -> None:
    saga = fold(None, "s", [event("e1", "t"), receipt("e1", "foreign", "retrying", error="E")])

    assert status(saga, Subscriptions()) is Status.RETRYING


def test_the_last_announcement_of_a_service_counts() -> None:
    moved = Subscriptions([announcement("a", "t"), announcement("a", "u")])

    assert moved.of("t") == ()
    assert [subscriber.service for subscriber in moved.of("u")] == ["a"]
