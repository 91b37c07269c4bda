"""What `saga show` and `saga list` tell of a paused saga."""

import pytest
from msgspec import structs, to_builtins
from rich.console import Console

from tests import play
from tests.facts import NOON_MS, receipt
from tests.play import CHARGE_FAST, ORDER, Play
from tracker.cli.rows import rows_table
from tracker.cli.tree import saga_tree
from tracker.core.flow import Flows
from tracker.core.frame import CommandSeen
from tracker.core.saga import Saga
from tracker.core.status import Status
from tracker.view.documents.row import saga_summary
from tracker.view.documents.saga import saga_document
from tracker.view.flows import FlowCounts
from tracker.view.known import Known
from tracker.view.row import row_of

TIMED = structs.replace(ORDER, rules=(CHARGE_FAST,))
NOW_MS = NOON_MS + 62_000


@pytest.fixture
def play_() -> Play:
    saga = Play(TIMED)
    saga.tell(play.placed(), play.reserved(), receipt("e1", "inventory", after_ms=5), now=50)
    paused = CommandSeen("c1", "pause", "ada", "the address is wrong", NOON_MS + 2_000, "", True)
    saga.tell(paused, now=2_000, wall=2_000)
    saga.tell(receipt("e2", "payments", "parked", after_ms=2_010), now=2_100, wall=2_100)
    return saga


@pytest.fixture
def known(play_: Play) -> Known:
    return Known(play_.subscriptions, Flows((TIMED,)))


@pytest.fixture
def saga(play_: Play) -> Saga:
    assert play_.saga is not None
    return play_.saga


def printed(picture: object) -> list[str]:
    console = Console(width=160, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(picture)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_show_tells_since_when_by_whom_why_and_what_is_parked_where(saga: Saga, known: Known) -> None:
    lines = printed(saga_tree(saga_document(saga, known, NOW_MS)))

    assert "paused 2025-10-09 12:00:02 UTC, 1m 00s ago, by ada: the address is wrong" in lines
    assert "parked: stock.reserved by payments" in lines
    assert any(line.endswith("payments: parked for 1m 00s") for line in lines)
    assert "charge-fast stock.reserved → payment.charged 5.0 s paused, 3.0 s left" in lines
    assert any(line.endswith("ada pause the address is wrong") for line in lines)


def test_a_list_tells_that_nobody_is_waited_for_but_an_operator(saga: Saga, known: Known) -> None:
    row = row_of(saga, known)

    line = printed(rows_table([saga_summary(row, NOW_MS)], 12))[1]

    assert "paused" in line
    assert "`saga resume`, 1m 00s (ada: the address is wrong)" in line
    assert row.clocks == ()
    assert row.waits == (), "it is not stuck"


def test_json_tells_the_same(saga: Saga, known: Known) -> None:
    told = to_builtins(saga_document(saga, known, NOW_MS))

    assert told["status"] == "paused"
    assert told["paused"] == {
        "since": "2025-10-09T12:00:02.000Z",
        "by": "ada",
        "reason": "the address is wrong",
    }
    assert [clock["stands"] for clock in told["clocks"]] == ["paused"]
    (owed,) = told["waiting_for"]
    assert (owed["service"], owed["parked"]) == ("payments", "2025-10-09T12:00:02.010Z")


def test_a_flow_counts_it_among_those_in_flight(saga: Saga, known: Known) -> None:
    counts = FlowCounts("order", TIMED)
    counts.add(row_of(saga, known))

    summary = counts.summary(NOW_MS, {})

    assert (summary.in_flight, summary.paused) == (1, 1)
    assert row_of(saga, known).status is Status.PAUSED
