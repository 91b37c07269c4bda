"""What holds for every forecast, whatever the past was."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.flow import Between
from tracker.core.prediction import SAMPLES_MIN, Forecast, History, Journey, Sample, share_longer
from tracker.core.sla import Clock

BEGAN_MS = 1_000_000
WHERE = "a"

stays = st.integers(0, 1_000)
pasts = st.lists(st.tuples(stays, stays), max_size=200)
"""How long each was there, and how long it took from then to the end."""


def history(past: list[tuple[int, int]]) -> History:
    found = History()
    for stay_ms, rest_ms in past:
        found.add(Journey(((WHERE, Sample(stay_ms, {(): stay_ms + rest_ms})),), ()))
    return found


def forecast(past: History, waited_ms: int, *dues_ms: int) -> Forecast:
    rules = [Between(f"rule-{index}", due_ms, WHERE) for index, due_ms in enumerate(dues_ms)]
    clocks = [Clock(rule, "", BEGAN_MS, BEGAN_MS + rule.within_ms, -1, -1) for rule in rules]
    return past.forecast(WHERE, BEGAN_MS, clocks, BEGAN_MS + waited_ms)


@given(pasts, stays, st.lists(st.integers(0, 3_000), max_size=4))
def test_a_chance_is_a_share_and_an_end_is_ahead(
    past: list[tuple[int, int]], waited_ms: int, dues_ms: list[int]
) -> None:
    told = forecast(history(past), waited_ms, *dues_ms)

    assert told.history == len(past)
    assert told.alike == sum(1 for stay_ms, _ in past if stay_ms > waited_ms)
    assert all(0 <= chance.chance <= 1 for chance in told.chances)
    assert told.risk == max((chance.chance for chance in told.chances), default=0)
    if told.known:
        assert BEGAN_MS + waited_ms < told.end_p50_ms <= told.end_p90_ms
        assert len(told.chances) == len(dues_ms)
    else:
        assert told.end_p50_ms == told.end_p90_ms == -1
        assert all(chance.chance == 1 for chance in told.chances)


@given(pasts, stays, st.integers(0, 3_000), st.integers(0, 3_000))
def test_more_time_never_makes_a_breach_likelier(
    past: list[tuple[int, int]], waited_ms: int, one: int, other: int
) -> None:
    told = forecast(history(past), waited_ms, min(one, other), max(one, other))
    chances = {chance.rule: chance.chance for chance in told.chances}

    if len(chances) == 2:
        assert chances["rule-0"] >= chances["rule-1"]


@given(pasts, stays, st.randoms(use_true_random=False))
def test_the_order_of_the_past_does_not_matter(
    past: list[tuple[int, int]], waited_ms: int, dice: Random
) -> None:
    shuffled = list(past)
    dice.shuffle(shuffled)

    assert forecast(history(past), waited_ms, 500) == forecast(history(shuffled), waited_ms, 500)


@given(st.lists(st.integers(0, 100)), st.integers(0, 100), st.integers(0, 100))
def test_a_share_is_that_of_its_definition(took_ms: list[int], than_ms: int, waited_ms: int) -> None:
    share = share_longer(sorted(took_ms), than_ms, waited_ms)
    than_ms = max(than_ms, waited_ms)
    alike = [ms for ms in took_ms if ms > waited_ms]

    assert (share is None) == (len(alike) < SAMPLES_MIN)
    if share is not None:
        assert round(share * len(alike)) == sum(1 for ms in alike if ms > than_ms)


@pytest.mark.parametrize("waited_ms", [0, 500, 1_000])
def test_where_waiting_tells_nothing_the_chance_depends_on_what_is_left_alone(waited_ms: int) -> None:
    # Exponential: the probability of another second is the same however long it has been.
    dice = Random(1)
    took_ms = sorted(round(dice.expovariate(1 / 1_000)) for _ in range(20_000))

    share = share_longer(took_ms, waited_ms + 1_000, waited_ms)

    assert share == pytest.approx(math.exp(-1), abs=0.02)


@pytest.mark.parametrize(("waited_ms", "expected"), [(0, 0.2), (500, 0.4), (799, 0.995)])
def test_where_all_end_in_time_the_chance_grows_with_waiting(waited_ms: int, expected: float) -> None:
    # Uniform from 0 to 1,000 ms, due after 800.
    share = share_longer(range(1_000), 800, waited_ms)

    assert share == pytest.approx(expected, abs=0.01)
