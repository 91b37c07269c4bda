"""Durations as people read them."""

import pytest

from tracker.view.duration import human, ordinal


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0 ms"),
        (0.25, "0.2 ms"),
        (12, "12 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (4_200, "4.2 s"),
        (9_960, "10 s"),
        (42_000, "42 s"),
        (59_600, "1m 00s"),
        (192_000, "3m 12s"),
        (7_500_000, "2h 05m"),
        (273_600_000, "3d 04h"),
        (-5, "-5 ms"),
    ],
)
def test_a_duration_is_said_in_two_units_at_most(duration_ms: float, text: str) -> None:
    assert human(duration_ms) == text


def test_attempts_are_counted_in_words() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "112th",
    ]  # fmt: skip
