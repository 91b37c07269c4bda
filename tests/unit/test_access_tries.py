"""Guessing passwords takes longer and longer, for one name and from one address."""

from hypothesis import given
from hypothesis import strategies as st

from tracker.access.tries import ADDRESS_RULE, FORGET_MS, USER_RULE, Rule, Tries


def test_the_first_failures_cost_nothing_and_each_further_one_twice_as_long() -> None:
    tries, now_ms = Tries(USER_RULE), 0
    waits: list[int] = []
    for _ in range(14):
        assert tries.begin("ada", now_ms) == 0
        wait_ms = tries.begin("ada", now_ms) if len(waits) >= 4 else 0
        waits.append(wait_ms)
        now_ms += wait_ms

    assert waits == [0, 0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000]


def test_tries_at_the_same_time_count_before_their_outcome_is_known() -> None:
    tries = Tries(Rule(free=5, wait_max_ms=60_000))

    assert [tries.begin("ada", 0) for _ in range(8)] == [0, 0, 0, 0, 0, 1000, 1000, 1000]


def test_success_frees_the_name_but_an_address_only_of_that_try() -> None:
    names, addresses = Tries(Rule(2, 60_000)), Tries(Rule(2, 60_000))
    for tries in (names, addresses):
        assert [tries.begin("a", 0), tries.begin("a", 0)] == [0, 0]
    names.succeeded("a")
    addresses.take_back("a")

    assert [names.begin("a", 0), names.begin("a", 0), names.begin("a", 0)] == [0, 0, 1000]
    assert [addresses.begin("a", 0), addresses.begin("a", 0)] == [0, 1000]


def test_others_are_not_held_up_and_an_hour_later_it_is_forgotten() -> None:
    tries = Tries(Rule(1, 900_000))
    assert (tries.begin("a", 0), tries.begin("a", 0), tries.begin("b", 0)) == (0, 1000, 0)
    for at_ms in (1_000, 10_000):
        tries.begin("a", at_ms)

    assert tries.begin("a", 10_000 + FORGET_MS) == 0
    assert tries.begin("a", 10_000 + FORGET_MS) == 1000


def test_a_million_names_take_no_more_memory_than_allowed() -> None:
    tries = Tries(ADDRESS_RULE, keys_max=100)
    for number in range(1_000):
        tries.begin(str(number), number)

    assert len(tries) == 100


@given(st.lists(st.integers(0, 400_000), max_size=60))
def test_nobody_gets_more_tries_than_the_waits_allow(gaps: list[int]) -> None:
    tries, now_ms, begun = Tries(USER_RULE), 0, 0
    for gap in gaps:
        now_ms += gap
        begun += tries.begin("ada", now_ms) == 0

    # Of all that came within the time: the free ones, the doublings, then one a minute.
    assert begun <= 5 + 7 + now_ms // 60_000
