"""The time of a partition: what all sources have been read to, and no source stops it for good."""

import pytest
from msgspec import DecodeError, msgpack

from tracker.core.clock import FORGOTTEN_AFTER, PartitionClock, Reckoned
from tracker.core.frame import HELD_MS, UNREAD_MS, Watermark

GONE_MS = 10_000
HOUR_MS = 3_600_000
ORDERS, STOCK = ("orders", 0), ("stock", 0)


def mark(source: tuple[str, int], at_ms: int = UNREAD_MS) -> Watermark:
    return Watermark(*source, at_ms)


def told(clock: PartitionClock, marks: list[Watermark], from_ms: int, to_ms: int) -> list[Reckoned]:
    """The same frame twice a second."""
    return [clock.observe(marks, frame_ms, 0) for frame_ms in range(from_ms, to_ms + 1, 500)]


def test_time_is_that_of_the_source_read_least() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 5_000), mark(STOCK, 3_000)], 0, 0)
    assert clock.now_ms == 3_000
    clock.observe([mark(STOCK, 9_000)], 10, 0)
    assert clock.now_ms == 5_000
    clock.observe([mark(ORDERS, 4_000)], 20, 0)
    assert clock.now_ms == 5_000


def test_time_is_not_known_before_every_source_that_exists_has_been_heard_of() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 5_000), mark(STOCK)], 0, 0)
    assert clock.now_ms is None
    clock.observe([mark(STOCK, 4_000), mark(ORDERS)], 10, 0)
    assert clock.now_ms == 4_000


def test_a_source_that_appears_stops_time_and_sets_it_back_to_where_it_has_been_read_to() -> None:
    clock = PartitionClock(GONE_MS)
    assert clock.observe([mark(ORDERS, 5_000)], 0, 0).changed
    times = [clock.now_ms]
    assert clock.observe([mark(ORDERS, 6_000), mark(STOCK)], 10, 0) == Reckoned(changed=True)
    times.append(clock.now_ms)
    assert not clock.observe([mark(ORDERS, 7_000), mark(STOCK, 1_000)], 20, 0).changed
    times.append(clock.now_ms)
    clock.observe([mark(STOCK, 8_000)], 30, 0)
    assert [*times, clock.now_ms] == [5_000, None, 1_000, 7_000]


def test_a_source_nobody_reads_is_left_out_after_a_while_and_told_once() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 1_000), mark(STOCK, 1_000)], 0, 0)
    found = told(clock, [mark(ORDERS, 90_000), mark(STOCK)], 500, GONE_MS)
    assert clock.now_ms == 1_000
    assert not any(reckoned.gone for reckoned in found)

    found = told(clock, [mark(ORDERS, 90_000), mark(STOCK)], GONE_MS + 500, GONE_MS + 2_000)
    assert [reckoned.gone for reckoned in found] == [(STOCK,), (), (), ()]
    assert clock.gone == (STOCK,)
    assert clock.now_ms == 90_000


def test_a_source_that_comes_back_counts_again() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 1_000), mark(STOCK, 1_000)], 0, 0)
    told(clock, [mark(ORDERS, 90_000)], 500, GONE_MS + 500)
    assert clock.observe([mark(ORDERS, 95_000), mark(STOCK, 2_000)], GONE_MS + 600, 0) == Reckoned(
        True, returned=(STOCK,)
    )
    assert clock.gone == ()
    assert clock.now_ms == 2_000


def test_an_outage_of_everything_takes_no_source_away() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 1_000), mark(STOCK, 1_000)], 0, 0)
    for hours in range(1, 9):
        clock.observe([mark(ORDERS, 90_000)], hours * HOUR_MS, 0)

    assert clock.gone == ()
    assert clock.now_ms == 1_000


def test_a_source_that_is_read_but_does_not_move_holds_time_however_long() -> None:
    clock = PartitionClock(GONE_MS)
    told(clock, [mark(ORDERS, 90_000), mark(STOCK, 1_000)], 0, 10 * GONE_MS)

    assert clock.gone == ()
    assert clock.now_ms == 1_000


def test_a_source_with_an_open_transaction_where_it_is_to_be_read_holds_time_as_well() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 1_000), mark(STOCK, 1_000)], 0, 0)
    told(clock, [mark(ORDERS, 90_000), mark(STOCK, HELD_MS)], 500, 10 * GONE_MS)

    assert (clock.gone, clock.now_ms) == ((), 1_000)
    new = PartitionClock(GONE_MS)
    told(new, [mark(ORDERS, 90_000), mark(STOCK, HELD_MS)], 0, 10 * GONE_MS)
    assert (new.gone, new.now_ms, new.watermark(STOCK)) == ((), None, None)


def test_there_is_no_time_when_all_sources_are_gone() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 1_000)], 0, 0)
    told(clock, [], 500, 2 * GONE_MS)

    assert clock.gone == (ORDERS,)
    assert clock.now_ms is None


def test_a_source_that_nobody_mentions_any_more_is_forgotten() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 1_000), mark(STOCK, 1_000)], 0, 0)
    told(clock, [mark(ORDERS, 2_000)], 500, (FORGOTTEN_AFTER + 1) * GONE_MS)

    assert clock.gone == ()
    assert clock.watermark(STOCK) is None


def test_a_source_that_is_gone_and_still_exists_stays_on_the_list() -> None:
    clock = PartitionClock(GONE_MS)
    told(clock, [mark(ORDERS, 2_000), mark(STOCK)], 0, (FORGOTTEN_AFTER + 5) * GONE_MS)

    assert clock.gone == (STOCK,)


def test_a_restart_keeps_time_sources_and_who_is_gone() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 1_000), mark(STOCK, 1_000)], 0, 0)
    told(clock, [mark(ORDERS, 90_000)], 500, GONE_MS + 500)
    again = PartitionClock(GONE_MS, clock.encode())

    assert (again.now_ms, again.gone) == (90_000, (STOCK,))
    assert (again.watermark(ORDERS), again.watermark(STOCK)) == (90_000, 1_000)
    assert again.encode() == clock.encode()


def test_a_restart_gives_every_source_its_time_anew() -> None:
    clock = PartitionClock(GONE_MS)
    clock.observe([mark(ORDERS, 1_000), mark(STOCK, 1_000)], 0, 0)
    told(clock, [mark(ORDERS, 90_000)], 500, GONE_MS - 500)
    again = PartitionClock(GONE_MS, clock.encode())
    told(again, [mark(ORDERS, 91_000)], HOUR_MS, HOUR_MS + GONE_MS)

    assert again.now_ms == 1_000


@pytest.mark.parametrize("kept", [b"", b"\xc1", b"\x90", msgpack.encode([99, []])])
def test_bytes_that_are_no_clock_are_refused(kept: bytes) -> None:
    with pytest.raises(DecodeError):
        PartitionClock(GONE_MS, kept)
