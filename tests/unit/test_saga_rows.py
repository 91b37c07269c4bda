"""What `saga list` and `saga watch` find and print."""

from textwrap import dedent

import pytest
from msgspec import to_builtins
from rich.console import Console, RenderableType
from rich.table import Table

from tests.facts import CHARGED, DISPATCHED, GIVEN_UP, NOON_MS, PLACED, RESERVED, SERVICES, event
from tracker.cli.rows import rows_table
from tracker.cli.watch import picture
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.saga import encode_saga
from tracker.core.status import Status
from tracker.core.subscriptions import Subscriptions
from tracker.view.changelog import Change
from tracker.view.documents.row import saga_summary
from tracker.view.documents.watch import watch_document
from tracker.view.known import Known
from tracker.view.live import Live
from tracker.view.row import Row
from tracker.view.sagas import Sagas
from tracker.view.selection import Selection, Sort

NOW_MS = NOON_MS + 60_000
OPEN, RETRYING = PLACED + RESERVED + CHARGED, PLACED + RESERVED
COMPLETED, FAILED = OPEN + DISPATCHED, OPEN + GIVEN_UP
NEWER: list[Observation] = [event("n1", "visit.booked", after_ms=50_000, key="v-1")]


def change(saga_id: str, facts: list[Observation]) -> Change:
    return Change(saga_id, encode_saga(fold(None, saga_id, facts)), NOW_MS - 400)


@pytest.fixture
def sagas() -> Sagas:
    found = Sagas(Known(Subscriptions(SERVICES)))
    found.put(
        [
            change("0193a7c2-51e0-7d3c-9a1f-000000000001", COMPLETED),
            change("0193a7c2-51e0-7d3c-9a1f-000000000002", OPEN),
            change("0193a7c2-51e0-7d3c-9a1f-000000000003", RETRYING),
            change("0193a7c2-51e0-7d3c-9a1f-000000000004", FAILED),
            change("0193a7c2-51e0-7d3c-9a1f-000000000005", NEWER),
        ]
    )
    return found


def shown(found: RenderableType, width: int = 120) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(found)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def table(sagas: Sagas, rows: list[Row]) -> Table:
    return rows_table([saga_summary(row, NOW_MS) for row in rows], sagas.short_id_length(rows))


def watched(now: Live, height: int | None) -> RenderableType:
    told = watch_document(now, NOW_MS, height or 20)
    return picture(told, now.sagas.short_id_length(told.oldest), height)


def listed(sagas: Sagas, selection: Selection, sort: Sort = Sort.STATUS) -> list[str]:
    return [row.id[-1] for row in sagas.listed(selection, sort, 50, NOW_MS)[0]]


def test_a_list_shows_what_needs_a_look_first(sagas: Sagas) -> None:
    rows, _ = sagas.listed(Selection(), Sort.STATUS, 50, NOW_MS)

    assert shown(table(sagas, rows)) == dedent("""\
       AGE  ID         STATUS     KEY     FLOW                    WHERE              WAITING FOR
    1m 00s  …00000004  failed     o-1042  (unknown) order.placed  payment.charged    shipping: dead-lettered (NoStreet)
    1m 00s  …00000003  retrying   o-1042  (unknown) order.placed  stock.reserved     payments, 1m 00s (retry 1)
    1m 00s  …00000002  open       o-1042  (unknown) order.placed  payment.charged    shipping, 59 s
    1m 00s  …00000001  completed  o-1042  (unknown) order.placed  parcel.dispatched
      10 s  …00000005  completed  v-1     (unknown) visit.booked  visit.booked
    """)  # noqa: E501


def test_a_narrow_list_keeps_to_its_width(sagas: Sagas) -> None:
    rows, _ = sagas.listed(Selection(), Sort.STATUS, 50, NOW_MS)
    lines = shown(table(sagas, rows), width=80).splitlines()

    assert len(lines) == 6
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(statuses=frozenset({Status.OPEN, Status.RETRYING})), ["3", "2"]),
        (Selection(flow="visit.booked"), ["5"]),
        (Selection(key="o-1042"), ["4", "3", "2", "1"]),
        (Selection(waiting_for="shipping"), ["2"]),
        (Selection(older_than_ms=30_000), ["4", "3", "2", "1"]),
        (Selection(key="o-1042", waiting_for="payments"), ["3"]),
    ],
)
def test_a_list_can_be_narrowed(sagas: Sagas, selection: Selection, expected: list[str]) -> None:
    assert listed(sagas, selection) == expected


def test_a_list_can_be_sorted(sagas: Sagas) -> None:
    assert listed(sagas, Selection(), Sort.AGE) == ["1", "2", "3", "4", "5"]
    assert listed(sagas, Selection(), Sort.LAST) == ["5", "1", "4", "2", "3"]
    assert listed(sagas, Selection(), Sort.FLOW)[-1] == "5"


def test_a_saga_from_a_clock_that_is_ahead_is_shown(sagas: Sagas) -> None:
    rows, _ = sagas.listed(Selection(), Sort.AGE, 50, NOON_MS - 1)
    assert len(rows) == 5


def test_a_list_tells_how_many_it_leaves_out(sagas: Sagas) -> None:
    rows, total = sagas.listed(Selection(), Sort.AGE, 2, NOW_MS)
    assert (len(rows), total) == (2, 5)


def test_the_last_change_of_a_saga_counts_and_a_removed_one_is_gone(sagas: Sagas) -> None:
    sagas.put(
        [change("x", OPEN), change("x", COMPLETED), Change("0193a7c2-51e0-7d3c-9a1f-000000000005", None, 0)]
    )

    assert [row.status for row in sagas.matching("x")] == [Status.COMPLETED]
    assert sagas.matching("v-1") == []


def test_what_cannot_be_read_is_counted_until_it_can(sagas: Sagas) -> None:
    sagas.put([Change("broken", b"\xc1", NOW_MS)])
    assert (sagas.unreadable, len(sagas.rows())) == (1, 5)

    sagas.put([change("broken", OPEN)])
    assert (sagas.unreadable, len(sagas.rows())) == (0, 6)


def test_a_saga_is_found_by_its_key_and_by_either_end_of_its_id(sagas: Sagas) -> None:
    assert [row.id[-1] for row in sagas.matching("v-1")] == ["5"]
    assert [row.id[-1] for row in sagas.matching("000000000004")] == ["4"]
    assert len(sagas.matching("0193a7c2")) == 5
    assert [row.key for row in sagas.nearest("v-9", 1)] == ["v-1"]


def test_short_ids_tell_the_shown_sagas_from_all_others() -> None:
    sagas = Sagas(Known())
    sagas.put([change("aa-1234567890", OPEN), change("ba-1234567890", OPEN), change("other-0000000", OPEN)])

    assert sagas.short_id_length(sagas.matching("aa-1234567890")) == 13
    assert sagas.short_id_length(sagas.matching("other-0000000")) == 8


def test_a_picture_has_the_flows_their_stages_and_the_oldest_in_flight(sagas: Sagas) -> None:
    now = Live(sagas, as_of_ms=NOW_MS - 400, changed_ms=NOW_MS - 12_000)

    assert shown(watched(now, None)) == dedent("""\
    as of 400 ms ago · nothing new for 12 s
    (unknown) order.placed  in flight 2  retrying 1  failed 1  done 1  0.0/s ▁▁▁▁█▁▁▁▁▁
      reserved 1 → charged 1
    (unknown) visit.booked  in flight 0  retrying 0  failed 0  done 1  0.0/s ▁▁▁▁▁▁▁▁▁█

       AGE  ID         STATUS    KEY     FLOW                    WHERE            WAITING FOR
    1m 00s  …00000002  open      o-1042  (unknown) order.placed  payment.charged  shipping, 59 s
    1m 00s  …00000003  retrying  o-1042  (unknown) order.placed  stock.reserved   payments, 1m 00s (retry 1)
    """)


def test_a_picture_is_no_higher_than_the_screen(sagas: Sagas) -> None:
    sagas.put([change(f"s{i}", OPEN) for i in range(50)])
    now = Live(sagas, as_of_ms=NOW_MS)

    assert len(shown(watched(now, 24)).splitlines()) <= 24
    assert "younger ones" in shown(watched(now, 24))


def test_an_empty_table_says_so() -> None:
    assert "there is no saga yet" in shown(watched(Live(Sagas(Known())), 24))


def test_counts_follow_a_saga_from_stage_to_stage(sagas: Sagas) -> None:
    sagas.put([change("0193a7c2-51e0-7d3c-9a1f-000000000003", OPEN)])
    (order, _) = sagas.flows(NOW_MS)

    assert (order.in_flight, order.retrying) == (2, 0)
    assert [(stage.type, stage.sagas) for stage in order.stages] == [("payment.charged", 2)]


def test_json_says_what_the_pictures_say(sagas: Sagas) -> None:
    told = to_builtins(watch_document(Live(sagas, as_of_ms=NOW_MS), NOW_MS, 20))
    assert (told["in_flight"], len(told["oldest"]), told["silent_ms"]) == (2, 2, None)

    (row,) = sagas.listed(Selection(waiting_for="payments"), Sort.AGE, 1, NOW_MS)[0]
    assert to_builtins(saga_summary(row, NOW_MS))["waiting_for"] == [
        {
            "event": "e2",
            "type": "stock.reserved",
            "service": "payments",
            "handler": "handle",
            "since": "2025-10-09T12:00:00.014Z",
            "waited_ms": 59_986,
            "failed_attempts": 1,
            "error": "Timeout",
            "retry_at": "2025-10-09T12:00:01.020Z",
            "parked": None,
        }
    ]
