"""What a collector's process tells comes out as it went in, and half of a line is nothing."""

from collections import Counter

import pytest

from tracker.core.lag import SourceLag
from tracker.runtime.told import Told, line_of, told_by

TOLD = Told(
    ready=True,
    records=7,
    restarts=1,
    uncorrelated=(("orders", "not-an-event", 3), ("mail", "no-saga", 1)),
    lags=(("orders", 0, 10, 2.5), ("orders", 1, 0, 0.0)),
)


@pytest.mark.parametrize("told", [Told(), TOLD, Told(ended="a right\nis lacking: Ünïcode")])
def test_a_message_is_one_line_and_comes_out_as_it_went_in(told: Told) -> None:
    line = line_of(told)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert told_by(line) == told


def test_its_figures_are_those_of_a_collector() -> None:
    assert TOLD.counts() == Counter({("orders", "not-an-event"): 3, ("mail", "no-saga"): 1})
    assert TOLD.by_source() == {("orders", 0): SourceLag(10, 2.5), ("orders", 1): SourceLag(0, 0.0)}


def test_half_of_a_line_says_nothing() -> None:
    line = line_of(TOLD)
    for length in (0, 1, len(line) // 2, len(line) - 2):
        assert told_by(line[:length]) is None
    assert told_by(b"\xff\xfe") is None
