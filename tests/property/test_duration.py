"""Durations as text and back."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from saga.core.duration import duration_ms, duration_text
from saga.core.errors import DeclarationError


@given(st.integers(0, 10**20))
@example(0)
def test_the_text_of_a_duration_reads_as_that_duration(duration: int) -> None:
    assert duration_ms(duration_text(duration)) == duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("100ms", 100),
        ("5s", 5_000),
        ("1.5s", 1_500),
        (" 30 m ", 1_800_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("0.29s", 290),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, milliseconds: int) -> None:
    assert duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0ms"), (100, "100ms"), (1_000, "1s"), (1_500, "1500ms"), (60_000, "1m"), (172_800_000, "2d")],
)
def test_a_duration_is_written_as_short_as_it_can_be_exactly(milliseconds: int, text: str) -> None:
    assert duration_text(milliseconds) == text


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "5 weeks", "1,5s", "1e3s", "1.s", "1s 2ms"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DeclarationError, match="'10s'"):
        duration_ms(text)


@given(st.text())
def test_arbitrary_text_is_a_duration_or_a_declaration_error(text: str) -> None:
    with contextlib.suppress(DeclarationError):
        assert duration_ms(text) >= 0


def test_a_number_of_hundreds_of_digits_does_no_harm() -> None:
    assert duration_ms("9" * 400 + "s") > 0
