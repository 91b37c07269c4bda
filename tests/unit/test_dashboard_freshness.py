"""What a page says of its age, and whose fault it is."""

import pytest
from msgspec import structs

from tests.facts import NOON_MS
from tracker.dashboard.node import text_of
from tracker.dashboard.shell import NO_PROJECTOR, NO_TRACKER, freshness_line
from tracker.view.queries.freshness import Freshness, Tracked

WELL = Tracked(NOON_MS - 900, 900, 3, True)


def fresh(tracker: Tracked | None, projector_age_ms: int = 800, *, alive: bool = True) -> Freshness:
    age_ms = max(projector_age_ms, 0 if tracker is None else tracker.age_ms)
    return Freshness(
        NOON_MS - age_ms, age_ms, projector_age_ms, tracker, 12, alive, NOON_MS, building=False, built=1.0
    )


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (fresh(WELL), ""),
        (fresh(None), ""),
        (fresh(WELL, 6_000), "12 records wait to be read."),
        (fresh(WELL, 6_000, alive=False), NO_PROJECTOR),
        (fresh(structs.replace(WELL, at_work=False)), NO_TRACKER),
        (
            fresh(structs.replace(WELL, age_ms=40_000, lag_records=1_234)),
            "The tracker is behind: 1,234 records wait. `saga status` says where.",
        ),
        (
            fresh(structs.replace(WELL, age_ms=40_000, lag_records=0)),
            "How far the tracker is can't be asked: look at the log of the projector.",
        ),
    ],
)
def test_a_page_that_is_old_says_who_is_behind(found: Freshness, problem: str) -> None:
    shown = text_of(freshness_line(found))

    assert shown.startswith("as of")
    assert shown.endswith(problem)
    assert ("What you see is" in shown) == (found.age_ms >= 5_000)
    assert bool(problem) == ("banner" in str(freshness_line(found)))
