"""Which flows are shown, in which order, and how fast one is said to be."""

import pytest

from tracker.dashboard.pages.overview import CARDS_MAX, HOUR_MS, cards_of, rate_of
from tracker.view.documents.flow import Times
from tracker.view.queries.flows import EndedCounts, FlowStanding

HOUR = 500_000 * HOUR_MS
QUIET = (0,) * 10


@pytest.mark.parametrize(
    ("recent", "hours", "minutes_gone", "told"),
    [
        ((50,) * 10, (0, 500), 30, ("5.0/s", "in the last 1m 40s")),
        ((5,) * 10, (0, 50), 30, ("30.0/min", "in the last 1m 40s")),
        ((0, 0, 0, 0, 0, 0, 0, 0, 0, 19), (0, 19), 30, ("38/h", "in this hour so far")),
        (QUIET, (30, 4), 5, ("30/h", "in the last whole hour")),
        (QUIET, (0, 3_000), 30, ("1.7/s", "in this hour so far")),
        (QUIET, (0, 0), 30, ("0/h", "in this hour so far")),
    ],
)
def test_the_last_moments_tell_the_rate_unless_they_are_too_few(
    recent: tuple[int, ...], hours: tuple[int, ...], minutes_gone: int, told: tuple[str, str]
) -> None:
    assert rate_of(recent, hours, HOUR + minutes_gone * 60_000) == told


def flow(name: str, *, in_flight: int = 0, overdue: int = 0, version: int | None = 1) -> FlowStanding:
    nothing, untimed = EndedCounts(0, 0, 0, 0, 0), Times(None, None, None)
    counts = (in_flight, in_flight - overdue, 0, overdue, 0, 0, 0, 0)
    return FlowStanding(name, version, name, *counts, [], nothing, untimed, QUIET, [])


def test_what_needs_a_look_is_first_and_counts_move_no_card() -> None:
    quiet, busy = flow("b-quiet"), flow("a-busy", in_flight=9)
    some, more = flow("c-late", in_flight=2, overdue=1), flow("d-later", in_flight=9, overdue=8)
    unfiled = flow("a-unfiled", in_flight=50, overdue=50, version=None)

    assert cards_of([unfiled, busy, quiet, more, some]) == [some, more, busy, quiet, unfiled]


def test_of_too_many_flows_the_busiest_have_cards() -> None:
    flows = [flow(f"f-{number:03}", in_flight=number) for number in range(CARDS_MAX + 2)]

    assert cards_of(flows) == flows[2:]
