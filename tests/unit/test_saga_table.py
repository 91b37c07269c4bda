"""The saga table on a real RocksDB: what is folded is found again, and no row can bring it down."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from saga.core.receipt import ServiceAnnouncement, Subscription
from tests.facts import NOON_MS, PLACED, event, receipt
from tracker.core.advance import World
from tracker.core.clock import CLOCK_ROW
from tracker.core.effect import Alert, HandOn, Lifecycle, Reply
from tracker.core.flow import Between, Compensation, Emit, Flow, Flows, Milestone, Undo, WhenEvent
from tracker.core.fold import fold
from tracker.core.frame import CommandSeen, EventSeen, Fact, HandedOn, Joined, Watermark
from tracker.core.retention import DAY_MS, Retention
from tracker.core.saga import decode_saga, encode_saga
from tracker.core.subscriptions import Subscriptions
from tracker.store.cache import SagaCache
from tracker.store.rocks import STORE_ROW, RocksRows
from tracker.store.table import (
    ABANDONED,
    BROKEN,
    CONTRADICTION,
    ENDED,
    LATE,
    SILENT,
    THINNED,
    TOO_LARGE,
    UNREADABLE,
    SagaTable,
)

FIRST = [event("e-1", "order.placed")]
SECOND = [event("e-2", "stock.reserved", cause="e-1")]

WITHIN_MS = 60_000
DUE_MS = NOON_MS + WITHIN_MS
ORDER = Flow(
    name="order",
    version=1,
    begins="order.placed",
    completed=("parcel.dispatched",),
    rules=(Between("ship-on-time", WITHIN_MS, "order.placed"),),
)
NO_FLOWS = World(Flows(), Subscriptions(), NOON_MS)
ORDERS = World(Flows((ORDER,)), Subscriptions(), NOON_MS)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[RocksRows]:
    rows = RocksRows(tmp_path, "sagas of a test")
    rows.open(0)
    yield rows
    rows.close()


def opened(rows: RocksRows, saga_bytes_max: int = 10_000) -> SagaTable:
    """As after a start: nothing in memory."""
    table = SagaTable(rows, SagaCache(10), saga_bytes_max, source_gone_ms=60_000)
    for _ in table.opening(0):
        pass
    return table


def fold_in(table: SagaTable, facts: dict[str, Sequence[Fact]], world: World = NO_FLOWS) -> None:
    table.fold(0, facts, world)


def move(table: SagaTable, now_ms: int, frame_ms: int = 0) -> None:
    table.observe(0, [Watermark("orders", 0, now_ms)], frame_ms, 0)


def commit(table: SagaTable, rows: RocksRows, offset: int = 1) -> dict[bytes, bytes]:
    """The rows of sagas that were written."""
    taken = table.take().rows.get(0, {})
    rows.write(0, taken, offset)
    table.written()
    return {key: row for key, row in taken.items() if key != CLOCK_ROW.encode() and row is not None}


def test_a_saga_goes_on_where_it_was_after_a_restart(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": FIRST})
    commit(table, rows)

    table = opened(rows)
    fold_in(table, {"s-1": SECOND})

    assert commit(table, rows) == {b"s-1": encode_saga(fold(None, "s-1", FIRST + SECOND))}


def test_what_tells_nothing_new_is_not_written_again(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": PLACED})
    commit(table, rows)
    fold_in(table, {"s-1": PLACED})

    assert table.dirty_count == 0
    assert table.take().rows == {}


def test_a_joined_saga_writes_nothing_of_what_it_hands_on_and_yet_it_counts(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": [Joined("s-2", 0, NOON_MS)]})
    commit(table, rows)
    table = opened(rows)
    fold_in(table, {"s-1": FIRST})

    assert table.dirty_count == 1
    taken = table.take()
    assert taken.rows == {}
    assert taken.effects == [HandOn("s-2", (HandedOn(("s-1",)), *FIRST))]


def test_a_contradiction_is_counted(rows: RocksRows) -> None:
    table = opened(rows)
    for other in ("s-2", "s-3", "s-3"):
        fold_in(table, {"s-1": [Joined(other, 0, NOON_MS)]})

    assert table.trouble == {CONTRADICTION: 1}


def test_a_saga_folded_twice_before_a_commit_is_written_once(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": FIRST})
    fold_in(table, {"s-1": SECOND, "s-2": FIRST})

    assert list(commit(table, rows)) == [b"s-1", b"s-2"]


def test_the_rows_and_their_offset_are_one(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": FIRST})
    commit(table, rows, offset=41)

    assert rows.open(0) == 42


def test_a_removed_row_is_gone_with_the_offset_that_says_so(rows: RocksRows) -> None:
    rows.write(0, {b"s-1": b"one", b"s-2": b"two"}, 1)
    rows.write(0, {b"s-1": None, b"s-3": None, b"s-4": b"four"}, 4)

    assert rows.get_many(0, [b"s-1", b"s-2", b"s-3", b"s-4"]) == [None, b"two", None, b"four"]
    assert rows.open(0) == 5


def test_a_row_that_cannot_be_read_is_reported_and_begins_anew(rows: RocksRows) -> None:
    rows.write(0, {b"s-1": b"\xc1"}, 1)
    table = opened(rows)
    fold_in(table, {"s-1": FIRST})

    assert table.trouble == {UNREADABLE: 1}
    assert commit(table, rows) == {b"s-1": encode_saga(fold(None, "s-1", FIRST))}


def test_a_saga_too_large_for_kafka_is_reported_and_holds_up_nobody(rows: RocksRows) -> None:
    table = opened(rows, saga_bytes_max=200)
    fold_in(table, {"large": [payload(b'"' + b"x" * 300 + b'"')], "s-1": FIRST})

    assert list(commit(table, rows)) == [b"s-1"]
    assert table.trouble == {THINNED: 1, TOO_LARGE: 1}


def test_of_a_saga_too_large_for_kafka_a_sample_is_written(rows: RocksRows) -> None:
    table = opened(rows, saga_bytes_max=6_000)
    told = [payload(b'"' + b"x" * 100 + b'"')]
    told += [structs.replace(told[0], id=f"e-{number}", cause="e-1") for number in range(2, 100)]
    fold_in(table, {"large": told})
    [row] = commit(table, rows).values()

    assert len(row) <= 6_000
    assert table.trouble == {THINNED: 1}
    assert 0 < len(decode_saga(row).steps) < decode_saga(row).events
    fold_in(table, {"large": told})
    assert commit(table, rows) == {}  # what was left out is not told anew


def test_no_saga_can_take_the_place_of_the_offset_or_the_clock(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {STORE_ROW.decode(): FIRST, CLOCK_ROW: FIRST})

    assert table.take().rows == {}
    table.written()
    assert commit(table, rows, offset=5) == {}
    assert rows.open(0) == 6


def woken(table: SagaTable, sagas_max: int = 100, world: World = ORDERS) -> list[str]:
    """What is told in steps of so many sagas of those whose deadline has come: who was breached."""
    while table.fold_due(0, world, sagas_max):
        pass
    effects = table.take().effects
    table.written()
    return sorted(
        effect.saga for effect in effects if isinstance(effect, Lifecycle) and effect.stage == "breached"
    )


def test_a_saga_is_told_once_that_its_deadline_has_come(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {"s-1": FIRST}, ORDERS)
    assert table.deadline_count(0) == 1
    assert woken(table) == []
    move(table, DUE_MS - 1)
    assert woken(table) == []
    move(table, DUE_MS)
    assert woken(table) == ["s-1"]
    move(table, DUE_MS + 60_000)
    assert woken(table) == []


def test_who_ended_in_time_is_not_told(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {"s-1": FIRST, "s-2": FIRST}, ORDERS)
    fold_in(table, {"s-1": [event("e-9", "parcel.dispatched", cause="e-1", after_ms=5)]}, ORDERS)
    move(table, DUE_MS)

    assert woken(table) == ["s-2"]


def test_without_time_nobody_is_told(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": FIRST}, ORDERS)
    table.observe(0, [Watermark("orders", 0, DUE_MS), Watermark("stock", 0, -1)], 0, 0)

    assert woken(table) == []


def test_deadlines_and_time_are_found_again_after_a_restart(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {f"s-{number}": FIRST for number in range(3)}, ORDERS)
    commit(table, rows)

    table = opened(rows)
    assert table.deadline_count(0) == 3
    assert table.now_ms(0) == NOON_MS
    move(table, DUE_MS)
    assert woken(table) == ["s-0", "s-1", "s-2"]


def test_who_was_told_before_a_restart_is_not_told_again(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": FIRST}, ORDERS)
    move(table, DUE_MS)
    table.fold_due(0, ORDERS, 10)
    commit(table, rows)

    table = opened(rows)
    move(table, DUE_MS + 60_000)
    assert woken(table) == []


def test_many_that_are_due_are_told_in_steps(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {f"s-{number}": FIRST for number in range(25)}, ORDERS)
    commit(table, rows)
    move(table, DUE_MS)
    steps = [table.fold_due(0, ORDERS, 10) for _ in range(3)]

    assert steps == [True, True, False]
    assert len(table.take().effects) >= 25


def test_a_partition_that_was_given_up_has_no_time_and_no_deadlines(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": FIRST}, ORDERS)
    move(table, DUE_MS)
    table.forget()

    assert not table.is_open(0)
    assert table.fold_due(0, ORDERS, 10) is False
    assert table.take() == ({}, [])


def test_a_scan_that_is_given_up_has_opened_nothing(rows: RocksRows) -> None:
    rows.write(0, {f"s-{number}".encode(): b"" for number in range(25_000)}, 1)
    table = SagaTable(rows, SagaCache(0), 1_000, 60_000)
    steps = table.opening(0)
    next(steps)
    table.forget()

    assert not table.is_open(0)


def test_a_scan_of_many_rows_is_done_in_steps_and_finds_all(rows: RocksRows) -> None:
    saga = fold(None, "any", FIRST)
    sagas = {f"s-{number}": number for number in range(25_000)}
    rows.write(
        0,
        {
            saga_id.encode(): encode_saga(structs.replace(saga, id=saga_id, due_ms=number or -1))
            for saga_id, number in sagas.items()
        },
        1,
    )
    table = SagaTable(rows, SagaCache(0), 1_000, 60_000)

    assert len(list(table.opening(0))) == 3
    assert table.deadline_count(0) == 24_999


def test_the_clock_is_written_at_once_when_other_sources_count_and_else_rarely(rows: RocksRows) -> None:
    def written(frame_ms: int, sagas: dict[str, Sequence[Fact]], now_ms: int, *more: Watermark) -> list[str]:
        table.observe(0, [Watermark("orders", 0, now_ms), *more], frame_ms, 0)
        fold_in(table, sagas)
        taken = table.take().rows.get(0, {})
        table.written()
        return [key.decode() for key in taken]

    table = opened(rows)
    assert written(0, {"s-1": FIRST}, 1) == ["s-1", CLOCK_ROW]  # the clock is always the last row
    assert written(500, {"s-2": FIRST}, 2) == ["s-2"]
    assert written(1_000, {"s-3": FIRST}, 3) == ["s-3", CLOCK_ROW]
    assert written(1_200, {}, 4, Watermark("stock", 0, -1)) == [CLOCK_ROW]
    assert [written(frame_ms, {}, 5) for frame_ms in range(1_700, 61_200, 500)] == [[]] * 119
    assert written(61_300, {}, 6) == [CLOCK_ROW]


def test_a_clock_that_cannot_be_read_begins_anew(rows: RocksRows) -> None:
    rows.write(0, {CLOCK_ROW.encode(): b"\xc1"}, 1)

    assert opened(rows).now_ms(0) is None


def test_a_source_that_is_gone_is_listed_and_alerted_once(rows: RocksRows) -> None:
    table = opened(rows)
    table.observe(0, [Watermark("orders", 0, 5), Watermark("stock", 3, 5)], 0, 0)
    for frame_ms in range(500, 62_000, 500):
        table.observe(0, [Watermark("orders", 0, 5)], frame_ms, 0)
    [alert] = table.take().effects

    assert table.gone_sources() == {0: (("stock", 3),)}
    assert isinstance(alert, Alert)
    assert (alert.cause, alert.saga, alert.key) == ("source-gone", "", "stock-3")


def test_a_command_for_an_unknown_saga_is_answered_and_makes_none(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": [CommandSeen("c-1", "note", "ada", "look at this", 5, "", True)]})
    written, [reply] = table.take()

    assert written == {}
    assert isinstance(reply, Reply)
    assert not reply.accepted


class Bug:
    """An expression that fails for one saga in a way that no expression should."""

    text = "bug"

    def evaluate(self, variables: Mapping[str, object]) -> object:
        saga = variables["saga"]
        assert isinstance(saga, dict)
        if saga["id"] == "bad":
            raise ZeroDivisionError
        return False


def test_a_saga_that_cannot_be_followed_keeps_its_events_and_holds_up_nobody(rows: RocksRows) -> None:
    triggers = (WhenEvent("order.placed", Bug()),)
    flow = structs.replace(ORDER, compensation=Compensation(triggers))
    world = World(Flows((flow,)), Subscriptions(), NOON_MS)
    table = opened(rows)
    move(table, NOON_MS)
    placed = [payload(b"{}")]
    fold_in(table, {"bad": placed, "good": placed}, world)
    written = commit(table, rows)

    assert table.trouble == {BROKEN: 1}
    assert list(written) == [b"bad", b"good"]
    assert decode_saga(written[b"bad"]).steps == fold(None, "bad", placed).steps
    move(table, DUE_MS)
    assert woken(table, world=world) == ["good"]


def payload(data: bytes | None) -> EventSeen:
    return EventSeen("e-1", "order.placed", "orders", "orders", 0, 0, NOON_MS, None, "o-1", 1, data)


def test_a_payload_is_kept_with_its_event(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": [payload(b'{"value": 1}')]})
    [row] = commit(table, rows).values()

    assert decode_saga(row).steps["e-1"].data == b'{"value": 1}'


KEPT_MS, SILENT_MS = 7 * DAY_MS, 30 * DAY_MS
AFTER_MS = 2 * Retention().margin_ms
CLOSED = [*FIRST, event("e-9", "parcel.dispatched", cause="e-1", after_ms=5)]


def swept(table: SagaTable, now_ms: int, world: World = ORDERS) -> None:
    move(table, now_ms)
    table.fold(0, {}, world)
    while table.fold_due(0, world, 100):
        pass
    table.sweep(0, world, 100)


def test_a_saga_that_has_ended_leaves_when_nothing_was_heard_of_it_for_long_enough(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {"s-1": CLOSED, "s-2": FIRST}, ORDERS)
    commit(table, rows)
    swept(table, NOON_MS + KEPT_MS)
    assert commit(table, rows).keys() == {b"s-2"}  # its deadline has passed
    swept(table, NOON_MS + KEPT_MS + AFTER_MS)

    assert table.take().rows[0][b"s-1"] is None
    assert table.left == {ENDED: 1}


def test_one_that_has_left_is_found_neither_on_disk_nor_in_memory(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {"s-1": CLOSED}, ORDERS)
    commit(table, rows)
    swept(table, NOON_MS + KEPT_MS + AFTER_MS)
    fold_in(table, {"s-1": [CommandSeen("c-1", "note", "ada", "look", 5, "", True)]})
    [reply] = table.take().effects
    assert isinstance(reply, Reply)
    assert not reply.accepted
    rows.write(0, {b"s-1": None}, 3)
    table.written()
    swept(table, NOON_MS + 2 * KEPT_MS)

    assert table.take().rows == {}
    assert rows.get_many(0, [b"s-1"]) == [None]


def test_a_saga_without_a_flow_leaves_when_nobody_owes_it_an_answer_or_much_later(rows: RocksRows) -> None:
    subscribed = Subscriptions([ServiceAnnouncement("stock", [Subscription("order.placed", "t", "h")], [])])
    world = World(Flows(), subscribed, NOON_MS)
    table = opened(rows)
    move(table, NOON_MS)
    answered: list[Fact] = [*FIRST, receipt("e-1", "stock", "handled")]
    fold_in(table, {"owed": FIRST, "answered": answered}, world)
    commit(table, rows)
    swept(table, NOON_MS + KEPT_MS + AFTER_MS, world)
    assert commit(table, rows) == {}
    assert table.left == {ENDED: 1}
    swept(table, NOON_MS + SILENT_MS + AFTER_MS, world)

    assert table.take() == ({0: {b"owed": None}}, [])
    assert table.left == {ENDED: 1, SILENT: 1}


def test_a_saga_on_its_way_leaves_after_its_deadlines_and_says_so(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {"s-1": FIRST}, ORDERS)
    commit(table, rows)
    swept(table, DUE_MS)
    commit(table, rows)
    swept(table, NOON_MS + SILENT_MS)
    assert commit(table, rows) == {}
    swept(table, DUE_MS + SILENT_MS + AFTER_MS)
    written, [alert] = table.take()

    assert written[0][b"s-1"] is None
    assert isinstance(alert, Alert)
    assert (alert.cause, alert.saga, alert.key) == ("abandoned", "s-1", "o-1042")
    assert table.left == {ABANDONED: 1}


def test_a_saga_whose_undo_is_stuck_or_whose_deadline_runs_never_leaves(rows: RocksRows) -> None:
    late = structs.replace(
        ORDER,
        rules=(),
        events={"order.placed": Milestone("orders", Undo(Emit("order.cancel"), "order.cancelled"))},
        compensation=Compensation((WhenEvent("payment.declined"),)),
    )
    slow = Flow("slow", 1, "slow.begun", ("never",), rules=(Between("in-all", 99 * DAY_MS, "slow.begun"),))
    world = World(Flows((late, slow)), Subscriptions(), NOON_MS)
    table = opened(rows)
    move(table, NOON_MS)
    declined = [*FIRST, event("e-3", "payment.declined", cause="e-1")]
    fold_in(table, {"undone": declined, "slow": [event("b-1", "slow.begun")]}, world)
    commit(table, rows)
    swept(table, NOON_MS + 98 * DAY_MS, world)
    commit(table, rows)

    assert not table.left
    assert None not in rows.get_many(0, [b"undone", b"slow"])


def test_facts_of_one_that_has_left_do_not_begin_it_anew(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {"s-1": CLOSED}, ORDERS)
    commit(table, rows)
    swept(table, NOON_MS + KEPT_MS + AFTER_MS)
    commit(table, rows)
    again: list[Fact] = [*CLOSED, receipt("e-1", "stock", "handled")]
    fold_in(table, {"s-1": again, "s-2": FIRST}, ORDERS)

    assert commit(table, rows) == {}
    assert table.late == {("orders", LATE): 3, ("saga.receipts", LATE): 1}


def test_facts_that_are_old_belong_to_their_saga_as_long_as_it_is_there(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS + KEPT_MS + AFTER_MS)
    fold_in(table, {"s-1": [event("e-8", "order.shown", after_ms=KEPT_MS)]}, ORDERS)
    fold_in(table, {"s-1": FIRST}, ORDERS)

    assert decode_saga(commit(table, rows)[b"s-1"]).steps.keys() == {"e-1", "e-8"}
    assert not table.late


def test_what_a_tracker_that_was_down_for_long_reads_in_a_moment_is_not_too_late(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {"s-1": FIRST, "s-2": CLOSED}, ORDERS)
    commit(table, rows)
    table = opened(rows)
    move(table, NOON_MS + 99 * DAY_MS)  # the time behind what is read now
    meanwhile = [event("e-5", "order.shown", cause="e-1", after_ms=9 * DAY_MS)]
    fold_in(table, {"s-1": meanwhile, "s-2": meanwhile, "s-3": [structs.replace(FIRST[0], id="e-7")]}, ORDERS)

    assert {key: len(decode_saga(row).steps) for key, row in commit(table, rows).items()} == {
        b"s-1": 2,
        b"s-2": 3,
        b"s-3": 1,
    }
    assert not table.late
    assert not table.left


def test_as_long_as_the_time_is_not_known_nothing_leaves_and_nothing_is_too_late(rows: RocksRows) -> None:
    table = opened(rows)
    fold_in(table, {"s-1": CLOSED}, ORDERS)
    table.sweep(0, ORDERS, 100)

    assert commit(table, rows).keys() == {b"s-1"}


def test_a_sweep_goes_round_and_round(rows: RocksRows) -> None:
    table = opened(rows)
    move(table, NOON_MS)
    fold_in(table, {f"s-{number:02}": CLOSED for number in range(25)}, ORDERS)
    commit(table, rows)
    move(table, NOON_MS + KEPT_MS + AFTER_MS)
    fold_in(table, {}, ORDERS)
    left = []
    for _ in range(4):
        table.sweep(0, ORDERS, 10)
        left.append(table.left[ENDED])
        commit(table, rows)

    assert left == [8, 18, 25, 25]  # the clock and the offset are rows as well
