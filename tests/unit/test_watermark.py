"""How far in time a source partition has been read."""

import pytest

from tracker.core.frame import HELD_MS, UNREAD_MS, Watermark
from tracker.core.watermark import Polls, Reading, Watermarks, watermark

NOW = 100_000


def reading(position: int, stable_end: int, end: int, last_record_ms: int | None = 60_000) -> Reading:
    return Reading(position, stable_end, end, NOW, last_record_ms)


@pytest.mark.parametrize(
    ("told", "known_ms", "expected"),
    [
        pytest.param(reading(10, 10, 10), None, NOW, id="all is read: the time of the poll"),
        pytest.param(reading(0, 0, 0, None), None, NOW, id="an empty partition too"),
        pytest.param(reading(7, 10, 10), None, 60_000, id="behind: the last record read"),
        pytest.param(reading(7, 10, 10, None), None, None, id="behind, nothing read yet: not known"),
        pytest.param(reading(7, 10, 10, None), 50_000, 50_000, id="behind: it stays where it was"),
        pytest.param(reading(10, 10, 12), None, 60_000, id="an open transaction holds it back"),
        pytest.param(reading(10, 10, 12), 80_000, 80_000, id="an open transaction stops it"),
        pytest.param(
            reading(10, 10, 12, None), None, HELD_MS, id="an open transaction before the first record"
        ),
        pytest.param(reading(7, 10, 10, NOW + 9_000), None, NOW, id="a producer's clock that is ahead"),
        pytest.param(reading(7, 10, 10, -1), 50_000, 50_000, id="a record without a timestamp"),
        pytest.param(reading(7, 10, 10, 40_000), 50_000, 50_000, id="it never goes back"),
        pytest.param(reading(10, 10, 10), NOW + 5, NOW + 5, id="not even when our clock does"),
    ],
)
def test_watermark(told: Reading, known_ms: int | None, expected: int | None) -> None:
    assert watermark(told, known_ms, delay_ms=0) == expected


def test_producers_get_time_to_write_what_they_have_stamped() -> None:
    assert watermark(reading(10, 10, 10), None, delay_ms=200) == NOW - 200


def test_a_record_may_stand_behind_one_that_was_stamped_later() -> None:
    assert watermark(reading(7, 10, 10), None, delay_ms=200) == 60_000 - 200


def test_an_answer_is_no_older_than_the_look_at_the_one_before() -> None:
    polls = Polls()
    told = [polls.asked_ms(("orders", 0), looked_ms) for looked_ms in (100, 100, 150, 150, 30_150, 30_200)]

    assert told == [None, None, 100, 100, 150, 30_150]
    polls.clear()
    assert polls.asked_ms(("orders", 0), 30_250) is None


def test_a_partition_that_was_given_up_is_no_longer_reported() -> None:
    watermarks = Watermarks(delay_ms=0)
    watermarks.advance({("orders", 0): reading(1, 1, 1), ("orders", 1): reading(1, 2, 2, None)})
    assert watermarks.report() == [Watermark("orders", 0, NOW)]

    watermarks.advance({("orders", 1): reading(2, 2, 2)})
    assert watermarks.report() == [Watermark("orders", 1, NOW)]

    watermarks.clear()
    assert watermarks.report() == []


def test_a_broker_that_fell_silent_stops_time() -> None:
    watermarks = Watermarks(delay_ms=0)
    for _ in range(3):
        watermarks.advance({("orders", 0): reading(1, 1, 1)})

    assert watermarks.report() == [Watermark("orders", 0, NOW)]


def test_partitions_that_others_read_are_named_without_a_time() -> None:
    watermarks = Watermarks(delay_ms=0)
    watermarks.advance({("orders", 0): reading(1, 1, 1), ("orders", 1): reading(1, 2, 2, None)})

    assert watermarks.report([("orders", number) for number in range(3)]) == [
        Watermark("orders", 0, NOW),
        Watermark("orders", 1, UNREAD_MS),
        Watermark("orders", 2, UNREAD_MS),
    ]
