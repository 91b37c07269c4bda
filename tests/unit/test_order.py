"""Frames are taken in order, none twice, none left out."""

from tracker.core.order import FrameOrder, Place


def test_frames_are_taken_one_after_the_other() -> None:
    order = FrameOrder()
    order.begin({0: 5})

    assert [order.place(0, offset) for offset in (4, 5, 5, 7, 6, 7)] == [
        Place.REPEATED,
        Place.NEXT,
        Place.REPEATED,
        Place.AHEAD,
        Place.NEXT,
        Place.NEXT,
    ]


def test_a_partition_of_others_gives_nothing() -> None:
    order = FrameOrder()
    order.begin({0: 0})

    assert order.place(1, 0) is Place.REPEATED
    order.end()
    assert order.place(0, 0) is Place.REPEATED


def test_gaps_are_skipped() -> None:
    order = FrameOrder()
    order.begin({0: 5})
    order.skip_to(0, 9)

    assert order.expected(0) == 9
    assert order.place(0, 9) is Place.NEXT


def test_frames_are_recalled_before_those_that_have_not_been_taken() -> None:
    order = FrameOrder()
    order.begin({0: 5})
    order.recall_from(0, 3)
    order.recall_from(0, 3)

    assert [order.place(0, offset) for offset in (5, 3, 4, 4, 5, 4)] == [
        Place.AHEAD,
        Place.RECALLED,
        Place.RECALLED,
        Place.REPEATED,
        Place.NEXT,
        Place.REPEATED,
    ]
    order.begin({0: 5})
    assert order.place(0, 5) is Place.NEXT
