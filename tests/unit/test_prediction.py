"""How a saga will go on, by how others went."""

import pytest
from msgspec import structs

from tests import play
from tests.facts import NOON_MS, receipt
from tests.play import CHARGE_FAST, IN_ALL, ORDER, Play
from tracker.core.flow import Answer, Flow, Rule, Silence
from tracker.core.prediction import SAMPLES_MAX, SAMPLES_MIN, Forecast, History, journey, quantile
from tracker.core.saga import Saga
from tracker.view.clocks import running_clocks

SILENT = Silence("silent", 2_000)
ANSWERED = Answer("answered", 500, "stock.reserved", "payments")
TIMED = structs.replace(ORDER, rules=(CHARGE_FAST, IN_ALL))


def completed(flow: Flow, charged_ms: int, dispatched_ms: int) -> Saga:
    """Reserved after 10 ms, and then as said."""
    saga = Play(flow)
    answered = receipt("e2", "payments", after_ms=10, took_ms=charged_ms - 10)
    saga.tell(play.placed(), play.reserved(10), answered, play.charged(charged_ms))
    saga.tell(play.dispatched(dispatched_ms))
    assert saga.saga is not None
    return saga.saga


def history(flow: Flow, charged: list[int]) -> History:
    """Sagas that were charged so many milliseconds after their beginning, and dispatched 100 ms later."""
    found = History()
    for after_ms in charged:
        told = journey(completed(flow, after_ms, after_ms + 100), flow)
        assert told is not None
        found.add(told)
    return found


def forecast(past: History, flow: Flow, now_ms: int) -> Forecast:
    """Of a saga that was reserved after 10 ms and has not been charged."""
    saga = Play(flow)
    saga.tell(play.placed(), play.reserved(10))
    assert saga.saga is not None
    running = running_clocks(saga.saga, flow)
    return past.forecast("stock.reserved", NOON_MS + 10, running, NOON_MS + now_ms)


def test_the_end_is_expected_where_others_ended() -> None:
    past = history(TIMED, [110 * number for number in range(1, 101)])

    told = forecast(past, TIMED, 10)

    assert told.known
    assert told.end_p50_ms == NOON_MS + 50 * 110 + 100
    assert told.end_p90_ms == NOON_MS + 90 * 110 + 100


def test_the_chance_is_the_share_of_those_that_took_longer() -> None:
    past = history(TIMED, [1_000] * 60 + [6_000] * 40)  # charge-fast is due after 5,010 ms

    assert chances(forecast(past, TIMED, 10)) == {"charge-fast": 0.4, "in-all": 0.0}


def test_who_has_waited_is_compared_with_those_that_waited_as_long() -> None:
    past = history(TIMED, [1_000] * 60 + [6_000] * 20 + [4_000] * 20)

    assert chances(forecast(past, TIMED, 2_000)) == {"charge-fast": 0.5, "in-all": 0.0}


def test_a_deadline_that_has_passed_is_breached_for_certain() -> None:
    assert chances(forecast(History(), TIMED, 5_010)) == {"charge-fast": 1.0}


@pytest.mark.parametrize("samples", [0, SAMPLES_MIN - 1])
def test_too_few_say_nothing(samples: int) -> None:
    told = forecast(history(TIMED, [100] * samples), TIMED, 20)

    assert (told.known, told.unusual, told.end_p50_ms, told.chances) == (False, False, -1, ())
    assert told.history == samples


def test_who_is_slower_than_all_others_is_unusual_and_that_is_all_that_can_be_said() -> None:
    told = forecast(history(TIMED, [100] * 50), TIMED, 900)

    assert told.unusual
    assert (told.known, told.chances) == (False, ())


def test_silence_and_answers_have_chances_of_their_own() -> None:
    flow = structs.replace(ORDER, rules=(SILENT, ANSWERED))
    past = history(flow, [300] * 50 + [1_500] * 25 + [4_000] * 25)

    assert chances(forecast(past, flow, 10)) == {"silent": 0.25, "answered": 0.5}


def test_a_saga_that_failed_or_was_undone_is_no_example() -> None:
    failed, undone = Play(ORDER), Play(ORDER)
    failed.tell(play.placed(), play.seen("e9", "order.cancelled", 20, cause="e1"))
    undone.tell(play.placed(), play.reserved(), play.declined())

    for saga in (failed, undone):
        assert saga.saga is not None
        assert journey(saga.saga, ORDER) is None


def test_the_oldest_examples_are_forgotten() -> None:
    past = history(TIMED, [9_000] * SAMPLES_MAX + [1_000] * SAMPLES_MAX)

    told = forecast(past, TIMED, 10)

    assert told.history == SAMPLES_MAX
    assert chances(told) == {"charge-fast": 0.0, "in-all": 0.0}


def test_quantiles_are_values_that_were_seen() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 2
    assert quantile([7], 0.9) == 7
    assert quantile(list(range(1, 11)), 0.9) == 9


def chances(told: Forecast) -> dict[str, float]:
    return {chance.rule: chance.chance for chance in told.chances}


@pytest.mark.parametrize("rule", [CHARGE_FAST, SILENT, ANSWERED])
def test_a_clock_without_examples_is_not_guessed(rule: Rule) -> None:
    flow = structs.replace(ORDER, rules=(rule,))

    assert forecast(History(), flow, 20).chances == ()
