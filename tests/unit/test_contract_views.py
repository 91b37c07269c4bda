"""What `saga map`, `funnel`, `show`, `list` and `orphans` print of the contract of the order flow."""

import json
from collections.abc import Iterable, Sequence
from textwrap import dedent

from msgspec import json as msgspec_json
from msgspec import structs, to_builtins
from rich.console import Console, RenderableType

from saga.core.receipt import Publication, ServiceAnnouncement, Subscription
from tests.facts import NOON_MS, event, receipt
from tests.play import ORDER
from tests.unit.test_contract import (
    CHARGED,
    DISPATCHED,
    DONE,
    PLACED,
    RESERVED,
    SUBSCRIPTIONS,
    saga_of,
)
from tracker.cli.findings import ahead_text, findings_table
from tracker.cli.funnel import funnel_table
from tracker.cli.map_tree import differences_text, map_tree
from tracker.cli.mermaid import mermaid
from tracker.cli.orphans import counts_text, orphans_table
from tracker.cli.rows import rows_table
from tracker.cli.tree import saga_tree
from tracker.core.collect import why_uncorrelated
from tracker.core.contract.findings import Kind
from tracker.core.contract.traffic import At
from tracker.core.course import CompensationState, Course, UndoState
from tracker.core.flow import Flows
from tracker.core.frame import ChildBegun
from tracker.core.saga import Saga, encode_saga
from tracker.core.subscriptions import Subscriptions
from tracker.view.changelog import Change
from tracker.view.contract import FlowContract
from tracker.view.documents.contract import ahead_document, finding_document
from tracker.view.documents.flow import funnel_document, map_document
from tracker.view.documents.orphans import orphans_document
from tracker.view.documents.row import saga_summary
from tracker.view.documents.saga import saga_document
from tracker.view.flows import group_of
from tracker.view.known import Known
from tracker.view.orphans import REASONS, Orphan, Orphans
from tracker.view.outlook import Outlook, outlook_of
from tracker.view.past import past_of
from tracker.view.row import row_of
from tracker.view.sagas import Sagas
from tracker.view.selection import Selection, Sort

KNOWN = Known(SUBSCRIPTIONS, Flows((ORDER,)))
STRANGE = event("e9", "coupon.used", after_ms=15, cause="e2", source="shop")


def followed(*facts: object, outcome: str = "", saga_id: str = "s-1") -> Saga:
    """A saga of the flow, ended where `outcome` says so."""
    course = Course("order", 1, outcome, NOON_MS + 40 if outcome else -1)  # type: ignore[arg-type]
    return structs.replace(saga_of(*facts), id=saga_id, course=course)  # type: ignore[arg-type]


def contract_of(*sagas: Saga, name: str = "order", known: Known = KNOWN) -> FlowContract:
    flow = known.flows.newest(name)
    found = FlowContract(name, "order.placed" if flow else name, flow, known)
    found.take(encode_saga(saga) for saga in sagas)
    return found


def shown(*parts: RenderableType, width: int = 100) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def drawn(contract: FlowContract, width: int = 100) -> str:
    told = map_document(contract)
    return shown(map_tree(told), *differences_text(told), width=width)


def test_a_map_shows_how_often_and_how_fast_each_way_was_gone_and_what_differs() -> None:
    told = drawn(contract_of(followed(*DONE, STRANGE, outcome="completed")))

    assert told == dedent("""\
        EVENT / HANDLER                             COUNT    P50    P95
        order.placed                                    1
        └─ inventory.reserve                            1  10 ms  10 ms
           ├─ stock.rejected                            -                never seen
           │  └─ orders.call_off                        -                never seen
           │     └─ order.cancelled                     -                never seen
           └─ stock.reserved                            1  10 ms  10 ms
              ├─ payments.charge                        1  10 ms  10 ms
              │  ├─ payment.charged                     1  10 ms  10 ms
              │  │  ├─ shipping.dispatch                1  10 ms  10 ms
              │  │  │  └─ parcel.dispatched             1  10 ms  10 ms
              │  │  └─ tracker                          -
              │  │     └─ ↩ payment.refund              -                never seen
              │  │        └─ payments.refund            -                never seen
              │  │           └─ ↩ payment.refunded      -                never seen
              │  └─ payment.declined                    -                never seen
              ├─ shop                                   -
              │  └─ coupon.used                         1   5 ms   5 ms  undeclared
              └─ tracker                                -
                 └─ ↩ stock.release                     -                never seen
                    └─ inventory.release                -                never seen
                       └─ ↩ stock.released              -                never seen
        parcel.lost                                     -                never seen, no declared cause

        seen but undeclared
          coupon.used
          stock.reserved → shop → coupon.used

        declared but never seen
          order.cancelled
          parcel.lost
          payment.declined
          payment.refund
          payment.refunded
          stock.rejected
          stock.release
          stock.released
          payments handles payment.refund
          orders handles stock.rejected
          inventory handles stock.release
          order.placed → inventory → stock.rejected
          payment.refund → payments → payment.refunded
          stock.rejected → orders → order.cancelled
          stock.release → inventory → stock.released
          stock.reserved → payments → payment.declined
        """)


def test_a_map_of_sagas_that_nobody_declares_says_so() -> None:
    rows = [event("r1", "row.read", source="csv"), event("r2", "row.written", cause="r1", source="csv")]
    told = drawn(contract_of(saga_of(*rows), name="row.read"))

    assert "   └─ row.written      1  0 ms  0 ms\n" in told
    assert "undeclared" not in told
    assert told.endswith(
        "no service has announced anything of it: what is seen can't be held against anything\n"
    )


def test_a_saga_that_an_event_begins_is_the_end_of_the_map() -> None:
    office = ServiceAnnouncement(
        "office",
        [Subscription("month.over", "m", "bill"), Subscription("bill.sent", "m", "file")],
        [Publication("bill.sent", "m", "bill"), Publication("bill.filed", "m", "file")],
    )
    month = saga_of(event("m1", "month.over"), ChildBegun("child", "bill.sent", "m1", NOON_MS))
    contract = contract_of(month, name="month.over", known=Known(Subscriptions([office])))
    told = drawn(contract)

    assert "   └─ bill.sent      1            begins a saga of its own\n" in told
    assert "bill.filed" not in told
    assert contract.comparison.unseen_handlers == (At("month.over", "office"),)
    assert "1 · begins a saga" in mermaid(map_document(contract))


def test_a_mermaid_map_has_every_name_in_quotes_and_marks_what_differs() -> None:
    strange = event("e8", 'a"b[c]', after_ms=16, cause="e2", source="shop")
    contract = contract_of(followed(*DONE, strange, outcome="completed"))
    told = mermaid(map_document(contract)).splitlines()

    assert told[0] == "flowchart TD"
    assert '  e0["order.placed<br>1"]' in told
    assert any(line.endswith('["a#34;b#91;c#93;<br>1"]') for line in told)
    [cancelled] = [line.split("[")[0].strip() for line in told if '["order.cancelled"]' in line]
    assert any(line.startswith("  class ") and cancelled in line and "unseen" in line for line in told)
    links = [line for line in told if "-->" in line or "-.->" in line]
    red = next(line for line in told if "linkStyle" in line)
    assert red == f"  linkStyle {links.index(next(link for link in links if '6 ms' in link))} stroke:#c00"


def test_a_map_for_programs_has_all_of_it() -> None:
    told = json.loads(msgspec_json.encode(map_document(contract_of(followed(*DONE, outcome="completed")))))

    assert (told["flow"], told["version"], told["sagas"], told["in_flight"]) == ("order", 1, 1, 0)
    edge = next(each for each in told["edges"] if each["to"] == "parcel.dispatched")
    assert (edge["service"], edge["declared"], edge["count"]) == ("shipping", True, 1)
    assert abs(edge["p95_ms"] - 10) <= 0.1
    assert {"from": "stock.reserved", "to": "payment.charged", "count": 1} in told["follows"]
    assert told["undeclared"] == {"types": [], "handlers": [], "edges": []}


def test_a_funnel_has_a_line_for_each_stage_and_no_column_for_what_is_nowhere() -> None:
    contract = contract_of(
        followed(*DONE, outcome="completed"), followed(*PLACED, *RESERVED[:1], saga_id="s-2")
    )
    quiet = shown(funnel_table(funnel_document(contract, {}, {}).stages), width=80)
    stuck = contract.stuck(NOON_MS + 10**6)
    loud = shown(funnel_table(funnel_document(contract, stuck, {"stock.reserved": 1}).stages), width=120)

    head, placed, *_ = quiet.splitlines()
    assert head.split() == ["STAGE", "PASSED", "SHARE", "AFTER", "NOW", "ENDED"]
    assert placed.split()[:3] == ["order.placed", "2", "100.0%"]
    assert stuck == {"stock.reserved": 1}
    assert loud.splitlines()[0].split()[-4:] == ["NOW", "STUCK", "OVERDUE", "ENDED"]
    assert next(line for line in loud.splitlines() if "stock.reserved" in line).split()[-4:] == [
        "1",
        "1",
        "1",
        "-",
    ]
    told = funnel_document(contract, stuck, {})
    assert (told.sagas, told.in_flight) == (2, 1)
    assert {stage.type for stage in told.stages if stage.stuck} == {"stock.reserved"}


def seen(saga: Saga, now_ms: int, others: Sequence[bytes] = ()) -> Outlook:
    """How the saga stands, by these others."""
    row = row_of(saga, KNOWN)
    return outlook_of(saga, row, past_of(others, KNOWN, group_of(row)), KNOWN, now_ms)


def test_a_saga_shows_what_is_still_to_come_by_those_before_it() -> None:
    past = [encode_saga(followed(*DONE, outcome="completed", saga_id=f"p-{n}")) for n in range(3)]
    saga = followed(*PLACED, *RESERVED[:1])
    outlook = seen(saga, NOON_MS + 100, past)

    assert (
        ahead_text(map(ahead_document, outlook.ahead))
        == "payment.charged (payments, 100%) → parcel.dispatched (shipping, 100%)"
    )
    told = shown(saga_tree(saga_document(saga, KNOWN, NOON_MS + 100, None, {}, outlook)), width=120)
    assert "\nstill to come: payment.charged (payments, 100%) → parcel.dispatched (shipping, 100%)\n" in told
    assert to_builtins(saga_document(saga, KNOWN, NOON_MS, None, {}, outlook))["still_to_come"] == [
        {"type": "payment.charged", "services": ["payments"], "share": 1.0},
        {"type": "parcel.dispatched", "services": ["shipping"], "share": 1.0},
    ]


def test_a_saga_that_is_undone_shows_the_rest_of_the_way_back() -> None:
    course = Course(
        "order",
        1,
        compensation=CompensationState(
            "parcel.lost",
            "e4",
            NOON_MS,
            False,
            (UndoState("e3", "running", attempt=1), UndoState("e2")),
        ),
    )
    saga = structs.replace(saga_of(*PLACED, *RESERVED, *CHARGED), course=course)

    assert ahead_text(map(ahead_document, seen(saga, NOON_MS).ahead)) == (
        "payment.refunded (payments) → stock.release (tracker) → stock.released (inventory) → "
        "order.cancelled (tracker)"
    )


def test_a_saga_that_has_ended_has_nothing_to_come_and_shows_what_went_wrong() -> None:
    saga = followed(*DONE, STRANGE, outcome="completed")
    outlook = seen(saga, NOON_MS + 100, [b"\xc1"])

    assert outlook.ahead == ()
    assert shown(findings_table([finding_document(each) for each in outlook.findings])) == (
        "  12:00:00.015  unexpected  no service declares coupon.used here, and no flow file names it\n"
    )


def sagas_of(*sagas: Saga) -> Sagas:
    found = Sagas(KNOWN)
    found.put(Change(saga.id, encode_saga(saga), NOON_MS) for saga in sagas)
    return found


def listed(sagas: Sagas, kinds: Iterable[Kind], after_ms: int) -> list[str]:
    selection = Selection(findings=frozenset(kinds))
    return [row.id for row in sagas.listed(selection, Sort.AGE, 50, NOON_MS + after_ms)[0]]


def test_a_list_finds_sagas_by_what_is_wrong_with_them() -> None:
    sagas = sagas_of(
        followed(*DONE, outcome="completed", saga_id="fine"),
        followed(*DONE, STRANGE, outcome="completed", saga_id="strange"),
        followed(*PLACED, saga_id="silent"),
    )

    assert listed(sagas, [Kind.UNEXPECTED], 100) == ["strange"]
    assert listed(sagas, [Kind.MISSING], 100) == []  # it may still be under way
    assert listed(sagas, [Kind.MISSING], 20_000) == ["silent"]
    assert listed(sagas, [Kind.MISSING, Kind.UNEXPECTED], 20_000) == ["silent", "strange"]
    rows, _ = sagas.listed(Selection(), Sort.AGE, 50, NOON_MS)
    wrong = [saga_summary(row, NOON_MS, None, sagas.findings(row, NOON_MS + 20_000)) for row in rows]
    assert "FINDINGS" in shown(rows_table(wrong, 8), width=140)
    right = [saga_summary(row, NOON_MS) for row in rows]
    assert "FINDINGS" not in shown(rows_table(right, 8), width=140)


def test_a_saga_is_stuck_until_it_moves_even_if_others_become_slower_meanwhile() -> None:
    waiting = followed(*PLACED, *RESERVED[:1], saga_id="waits")
    fast = [followed(*DONE, outcome="completed", saga_id=f"f-{n}") for n in range(20)]
    sagas = sagas_of(waiting, *fast)

    assert listed(sagas, [Kind.STUCK], 9_000) == []
    assert listed(sagas, [Kind.STUCK], 11_000) == ["waits"]

    slow_charge = event("e3", "payment.charged", after_ms=99_000, cause="e2", source="payments")
    slow = [*PLACED, RESERVED[0], receipt("e2", "payments", after_ms=98_990), slow_charge, *DISPATCHED]
    late = [followed(*slow, outcome="completed", saga_id=f"l-{n}") for n in range(20)]
    sagas.put(Change(saga.id, encode_saga(saga), NOON_MS) for saga in late)
    assert listed(sagas, [Kind.STUCK], 12_000) == ["waits"]
    fresh = sagas_of(waiting, *fast, *late)
    assert listed(fresh, [Kind.STUCK], 12_000) == []  # whoever asks now for the first time knows better

    [row] = [row for row in sagas.rows() if row.id == "waits"]
    told = json.loads(
        msgspec_json.encode(saga_summary(row, NOON_MS, None, sagas.findings(row, NOON_MS + 12_000)))
    )
    assert [finding["kind"] for finding in told["findings"]] == ["stuck"]
    charged = event("e3", "payment.charged", after_ms=11_500, cause="e2", source="payments")
    moved = followed(*PLACED, *RESERVED, charged, saga_id="waits")
    sagas.put([Change("waits", encode_saga(moved), NOON_MS)])
    assert listed(sagas, [Kind.STUCK], 12_000) == []


def test_an_open_saga_that_nobody_is_asked_about_is_stuck_too() -> None:
    quiet = followed(
        *PLACED,
        *RESERVED,
        event("e3", "payment.declined", after_ms=20, cause="e2", source="payments"),
        event("e4", "parcel.lost", after_ms=30, cause="e3", source="carrier"),
    )

    [finding] = seen(quiet, NOON_MS + 60_030).findings
    assert finding.text == "nothing follows parcel.lost for more than 60 s, 2 times what it may take"


class Record:
    def __init__(self, value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
        self.offset, self.timestamp, self.key = 7, NOON_MS, b"k"
        self.value, self.headers = value, headers


def test_a_record_says_why_no_saga_is_told_of_it() -> None:
    assert why_uncorrelated("orders", 0, Record(b"x", [])) == "not-an-event"
    assert why_uncorrelated("saga.receipts", 0, Record(b"x", [])) == "not-receipts"
    assert why_uncorrelated("saga.commands", 0, Record(b"x", [])) == "not-a-command"
    whole = Record(
        b"{}", [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_type", b"t"), ("ce_source", b"s")]
    )
    assert why_uncorrelated("orders", 0, whole) == ""


def test_orphans_are_listed_with_their_place_and_their_reason() -> None:
    orphan = Orphan(NOON_MS, "orders", 3, 77, "o-1", "not-an-event")
    found = Orphans([orphan], topics=("orders",), records=1_000, older=5)
    found.counts["orders", "not-an-event"] += 1
    document = orphans_document(found)
    told = shown(orphans_table(document.orphans), counts_text(document), width=140)

    assert "2025-10-09 12:00:00 UTC  orders/3@77  o-1  not-an-event: no CloudEvent" in told
    assert told.endswith("\n1 of 1,000 records: orders 1 not-an-event\n")
    assert document.older == 5
    assert set(REASONS) >= {"no-saga", "too-long", "bad-time"}
