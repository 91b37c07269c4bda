"""When a failed handler is tried again, and where it waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga import ONCE, DeadLetter, DeclarationError, Retry, UndeclaredEvent
from saga.core.errors import EventTooLarge
from saga.core.retry import TryAgain


def test_delays_follow_each_other_and_the_last_one_repeats() -> None:
    retry = Retry(attempts=5, delays=["100ms", "1s", "10s"])

    assert [retry.after(attempt, ValueError()) for attempt in range(1, 6)] == [
        TryAgain(100, in_place=True),
        TryAgain(1_000, in_place=True),
        TryAgain(10_000, in_place=False),
        TryAgain(10_000, in_place=False),
        None,
    ]
    assert retry.tiers_ms == {10_000}


def test_order_kept_waits_in_place_however_long() -> None:
    retry = Retry(attempts=3, delays=["1m"], order="kept")

    assert retry.after(1, ValueError()) == TryAgain(60_000, in_place=True)
    assert retry.tiers_ms == frozenset()


@pytest.mark.parametrize(
    "error", [DeadLetter("no"), UndeclaredEvent("no"), EventTooLarge("no"), KeyError("no")]
)
def test_some_errors_are_no_use_to_retry(error: Exception) -> None:
    assert Retry(unless=(LookupError,)).after(1, error) is None


def test_once_is_once() -> None:
    assert ONCE.after(1, ValueError()) is None
    assert ONCE.tiers_ms == frozenset()


@pytest.mark.parametrize(
    ("attempts", "delays", "reason"),
    [
        (0, ["1s"], "one attempt is the least"),
        (2, [], "needs at least one delay"),
        (2, ["soon"], "no duration"),
    ],
)
def test_a_retry_that_can_not_be_is_refused(attempts: int, delays: list[str], reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        Retry(attempts, delays)


@given(
    st.integers(1, 9),
    st.lists(st.integers(0, 100_000), min_size=1, max_size=9),
    st.integers(0, 50_000),
    st.sampled_from(["given-up", "kept"]),
)
def test_every_wait_is_short_or_has_its_topic(
    attempts: int, delays: list[int], in_place: int, order: str
) -> None:
    retry = Retry(
        attempts,
        [f"{delay}ms" for delay in delays],
        in_place=f"{in_place}ms",
        order="kept" if order == "kept" else "given-up",
    )
    again = [retry.after(attempt, ValueError()) for attempt in range(1, attempts + 1)]

    assert again[-1] is None
    assert None not in again[:-1]
    assert {each.delay_ms for each in again if each and not each.in_place} == retry.tiers_ms


@given(st.integers(1, 5), st.integers(5, 100))
def test_an_attempt_beyond_the_last_is_never_followed_by_another(attempts: int, attempt: int) -> None:
    assert Retry(attempts).after(attempt, ValueError()) is None
