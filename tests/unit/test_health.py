"""Who holds up time, and what is wrong, by what Kafka says."""

import pytest

from tracker.core.frame import HELD_MS, UNREAD_MS, Frame, Watermark
from tracker.core.health import (
    Ends,
    GroupHealth,
    Health,
    Hold,
    SourceHealth,
    Standing,
    problems,
    source_health,
    standing,
    told_watermarks,
)
from tracker.core.lag import CAUGHT_UP, SourceLag
from tracker.view.documents.freshness import FreshnessDocument
from tracker.view.documents.health import health_document

NOW_MS = 1_000_000
READ = Ends(10, 10)
LATE = SourceLag(5, 90.0)
GROUPS = [GroupHealth("saga-collector", "Stable", ("a",)), GroupHealth("saga-tracker", "Stable", ("a",))]


@pytest.mark.parametrize(
    ("lag", "told_ms", "gone", "ends", "hold"),
    [
        (CAUGHT_UP, NOW_MS - 500, False, READ, ""),
        (CAUGHT_UP, NOW_MS - 500, False, Ends(9, 10), ""),
        (CAUGHT_UP, NOW_MS - 60_000, False, Ends(9, 10), "open transaction"),
        (CAUGHT_UP, HELD_MS, False, Ends(0, 10), "open transaction"),
        (CAUGHT_UP, NOW_MS - 60_000, False, READ, "silent"),
        (LATE, NOW_MS - 60_000, False, READ, "behind"),
        (LATE, UNREAD_MS, False, READ, "unread"),
        (CAUGHT_UP, None, False, READ, "unread"),
        (LATE, UNREAD_MS, True, None, "gone"),
    ],
)
def test_why_a_source_stands_still(
    lag: SourceLag, told_ms: int | None, gone: bool, ends: Ends | None, hold: Hold
) -> None:
    assert source_health(("orders", 0), lag, told_ms, gone, ends, NOW_MS).hold == hold


def test_of_several_collectors_the_one_that_reads_a_source_is_believed() -> None:
    one = Frame(2, [Watermark("orders", 0, 500), Watermark("orders", 1, UNREAD_MS)], {})
    other = Frame(2, [Watermark("orders", 0, UNREAD_MS), Watermark("orders", 1, 700)], {})
    older = Frame(2, [Watermark("orders", 0, 400), Watermark("orders", 2, UNREAD_MS)], {})
    assert told_watermarks([older, one, other]) == {
        ("orders", 0): 500,
        ("orders", 1): 700,
        ("orders", 2): UNREAD_MS,
    }


def health(*sources: SourceHealth, steps: SourceLag = CAUGHT_UP) -> Health:
    return Health(NOW_MS, GROUPS, list(sources), {0: CAUGHT_UP, 1: steps}, NOW_MS, {})


def source(number: int, told_ms: int | None, hold: Hold = "", lag: SourceLag = CAUGHT_UP) -> SourceHealth:
    return SourceHealth("orders", number, lag, told_ms, hold)


def test_a_tracker_that_keeps_up_has_no_problems() -> None:
    well = health(source(0, NOW_MS - 300), source(1, NOW_MS - 200))
    assert problems(well, 60_000) == []
    assert well.time_ms == NOW_MS - 300


def test_each_thing_that_is_wrong_is_named() -> None:
    ill = health(
        source(0, NOW_MS - 90_000, "behind", LATE),
        source(1, None, "unread"),
        source(2, NOW_MS - 900_000, "gone"),
        source(3, NOW_MS - 61_000, "open transaction"),
        steps=SourceLag(1_234, 61.4),
    )
    found = problems(ill._replace(groups=[GroupHealth("saga-collector", "Dead", ()), GROUPS[1]]), 60_000)
    assert found == [
        "saga-collector has no members: start `saga track`",
        "the collectors are behind: 5 records wait, one for 90 s",
        "the trackers are behind: 1,234 records wait, one for 61 s",
        "nobody reads orders-2, and time goes on without it",
        "nobody reads orders-1, and time waits for it",
        "time is held up for 90 s by orders-0 and 1 more: behind",
    ]
    assert ill.time_ms == NOW_MS - 90_000


@pytest.mark.parametrize(
    ("alive", "building", "age_ms", "problem"),
    [
        (True, False, 800, []),
        (True, False, 61_000, ["the read model is behind: 12 records wait, it is 61 s old"]),
        (True, True, 61_000, ["the read model is being made: 40% of it is there"]),
        (False, False, 800, ["nobody keeps the read model up to date: start `saga project`"]),
    ],
)
def test_a_server_tells_of_its_read_model_too(
    alive: bool, building: bool, age_ms: int, problem: list[str]
) -> None:
    model = FreshnessDocument("2026-01-01T12:00:00Z", age_ms, age_ms, None, 12, alive, building, 0.4)
    told = health_document(health(source(0, NOW_MS)), 60_000, model)
    assert (told.problems, told.well, told.read_model) == (problem, not problem, model)


IDLE = [GroupHealth("saga-collector", "Empty", ()), GROUPS[1]]


@pytest.mark.parametrize(
    ("collected", "folded", "groups", "found"),
    [
        ([], [], GROUPS, Standing(NOW_MS, 0, 0, at_work=True)),
        ([CAUGHT_UP], [CAUGHT_UP], IDLE, Standing(NOW_MS, 0, 0, at_work=False)),
        ([LATE, CAUGHT_UP], [SourceLag(7, 2.0)], GROUPS, Standing(NOW_MS, 90_000, 12, at_work=True)),
        ([SourceLag(1, 0.4)], [LATE, SourceLag(7, 2.0)], GROUPS, Standing(NOW_MS, 90_000, 13, at_work=True)),
    ],
)
def test_the_tracker_is_as_far_as_the_oldest_record_that_waits(
    collected: list[SourceLag], folded: list[SourceLag], groups: list[GroupHealth], found: Standing
) -> None:
    told = standing(NOW_MS, collected, folded, groups)
    assert told == found
    assert told.as_of_ms == NOW_MS - found.waits_ms
