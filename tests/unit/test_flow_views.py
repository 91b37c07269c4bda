"""What `saga list`, `watch` and `show` print of sagas that follow a flow."""

import re
from textwrap import dedent

from msgspec import structs, to_builtins
from rich.console import Console, RenderableType

from tests import play
from tests.facts import NOON_MS, receipt
from tests.play import CHARGE_FAST, IN_ALL, ORDER, Play, command_seen, published
from tracker.cli.plan import plan_picture
from tracker.cli.rows import rows_table, waiting_text
from tracker.cli.tree import saga_tree
from tracker.cli.watch import picture
from tracker.core.flow import Flow, Flows
from tracker.core.frame import CommandSeen, EventSeen
from tracker.core.saga import Saga, encode_saga
from tracker.view.changelog import Change
from tracker.view.clocks import Stand, clock_views
from tracker.view.documents.row import saga_summary
from tracker.view.documents.saga import saga_document
from tracker.view.documents.undo import plan_document
from tracker.view.documents.watch import watch_document
from tracker.view.known import Known
from tracker.view.live import Live
from tracker.view.plan import dry_run
from tracker.view.row import Row, row_of
from tracker.view.sagas import Sagas
from tracker.view.selection import Selection, Sort

TIMED = structs.replace(ORDER, rules=(CHARGE_FAST, IN_ALL))
KNOWN = Known(play.services(), Flows((TIMED,)))
PAST = 40


def saga_of(*told: EventSeen, flow: Flow = TIMED, now: int | None = None) -> Play:
    saga = Play(flow)
    saga.tell(*told, now=now)
    return saga


def of(saga: Play) -> Saga:
    assert saga.saga is not None
    return saga.saga


def open_() -> Play:
    return saga_of(play.placed(), play.reserved(10))


def completed() -> Play:
    return saga_of(play.placed(), play.reserved(), play.charged(), play.dispatched())


def late() -> Play:
    saga = saga_of(play.placed(), play.reserved(10), now=6_000)
    saga.tell(play.charged(6_010), play.dispatched(6_020), now=7_000)
    return saga


def compensating() -> Play:
    saga = saga_of(play.placed(), play.reserved(10), play.charged(20), now=50)
    saga.tell(play.lost(40), now=60)
    (refund,) = published(saga.effects)
    saga.tell(command_seen(structs.replace(refund, at_ms=NOON_MS + 100)), now=110)
    return saga


def stuck() -> Play:
    saga = compensating()
    saga.tell(now=1_000, wall=1_000)
    saga.tell(now=2_000, wall=2_000)
    return saga


def sagas_of(*plays: Play) -> Sagas:
    found = Sagas(KNOWN)
    found.put(
        Change(f"s-{index:012}", encode_saga(structs.replace(of(saga), id=f"s-{index:012}")), NOON_MS)
        for index, saga in enumerate(plays)
    )
    return found


def shown(found: RenderableType, width: int = 140) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(found)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def table(sagas: Sagas, after_ms: int, *, with_flow: bool = True) -> str:
    rows, _ = sagas.listed(Selection(), Sort.STATUS, 50, NOON_MS + after_ms)
    return shown(rows_table([saga_summary(row, NOON_MS + after_ms) for row in rows], 4, with_flow=with_flow))


def row(saga: Play) -> Row:
    return row_of(of(saga), KNOWN)


def test_a_list_has_the_clock_that_is_due_first_and_who_has_to_undo() -> None:
    found = table(sagas_of(open_(), completed(), late(), compensating(), stuck()), 4_500, with_flow=False)

    assert found == dedent("""\
      AGE  ID     STATUS        KEY     WHERE              WAITING FOR                          SLA
    4.5 s  …0004  stuck         o-1042  parcel.lost        an operator (payment.refund failed)
    4.5 s  …0003  compensating  o-1042  parcel.lost        payments, 4.4 s
    4.5 s  …0000  open          o-1042  stock.reserved     inventory, 4.5 s + 1 more            charge-fast 510 ms left
    4.5 s  …0001  completed     o-1042  parcel.dispatched
    4.5 s  …0002  completed     o-1042  parcel.dispatched                                       charge-fast late by 1.0 s
    """)  # noqa: E501


def test_a_deadline_that_has_passed_is_overdue() -> None:
    assert "charge-fast overdue 990 ms\n" in table(sagas_of(open_()), 6_000)


def test_a_list_without_deadlines_has_no_column_for_them() -> None:
    assert "SLA" not in table(sagas_of(completed()), 100)


def test_who_is_waited_for_is_told_at_every_point_of_an_undo() -> None:
    unsent = saga_of(play.placed(), play.reserved(), play.declined(), now=50)
    answered = compensating()
    (refund,) = published(answered.effects)
    answered.tell(receipt(refund.id, "payments", after_ms=150))
    alone = Play(TIMED, subscriptions=play.services("orders"))
    alone.tell(play.placed(), play.seen("e3", "payment.declined", 20, cause="e1"), now=50)

    assert waiting_text(saga_summary(row(unsent), NOON_MS + 2_100)) == "inventory, 2.1 s"
    assert waiting_text(saga_summary(row(answered), NOON_MS + 2_100)) == "payment.refunded, 2.0 s"
    assert waiting_text(saga_summary(row(alone), NOON_MS + 2_100)) == "a service for order.cancelled"


def test_the_flow_is_counted_with_its_deadlines_and_undos() -> None:
    sagas = sagas_of(open_(), completed(), late(), compensating(), stuck())
    soon, over = sagas.flows(NOON_MS + 4_500)[0], sagas.flows(NOON_MS + 6_000)[0]

    assert (soon.in_flight, soon.compensating, soon.stuck, soon.completed) == (3, 1, 1, 2)
    assert (soon.on_time, soon.due_soon, soon.overdue) == (0, 1, 0)
    assert (over.on_time, over.due_soon, over.overdue) == (0, 0, 1)
    assert (over.timed, over.on_time, over.due_soon, over.overdue) == (True, 0, 0, 1)


def test_stages_are_in_the_order_of_the_flow() -> None:
    # The one that was placed has more events than the one that was reserved.
    talkative = saga_of(play.placed(), *(play.seen(f"x{i}", "order.placed", 0) for i in range(9)))

    (flow,) = sagas_of(open_(), talkative).flows(NOON_MS)

    assert [stage.type for stage in flow.stages] == ["order.placed", "stock.reserved"]


def test_watch_shows_it_all() -> None:
    sagas = sagas_of(open_(), completed(), compensating(), stuck())
    told = shown(picture(watch_document(Live(sagas, as_of_ms=NOON_MS + 4_500), NOON_MS + 4_500, 24), 4, 24))

    assert "on time 0 · due soon 1 · overdue 0" in told
    assert "  reserved 1 → lost 2   compensating 1 · stuck 1\n" in told
    assert "FLOW" not in told
    assert watch_document(Live(sagas), NOON_MS, 20).in_flight == 3


def test_sagas_of_no_known_flow_are_counted_by_their_first_event_behind_the_others() -> None:
    foreign = Play()
    foreign.tell(play.placed())

    names = [flow.flow for flow in sagas_of(open_(), foreign).flows(NOON_MS)]

    assert names == ["order", "(unknown) order.placed"]
    assert row(foreign).flow == "(unknown)"
    assert Selection(flow="order.placed").takes(row(foreign), NOON_MS)
    assert Selection(flow="(unknown)").takes(row(foreign), NOON_MS)


def test_show_has_the_undo_in_the_tree_and_every_clock() -> None:
    assert shown(saga_tree(saga_document(of(compensating()), KNOWN, NOON_MS + 600))) == dedent("""\
    order v1  s-1  o-1042  compensating
    began 2025-10-09 12:00:00 UTC, 600 ms ago
    12:00:00.000  orders   order.placed                               inventory: no answer for 600 ms
    12:00:00.010  orders   └─ stock.reserved                 + 10 ms  payments: no answer for 590 ms
    12:00:00.020  orders      └─ payment.charged             + 10 ms  shipping: no answer for 580 ms
    12:00:00.040  orders         ├─ parcel.lost              + 20 ms  nobody subscribed
    12:00:00.100  tracker        └─ ↩ payment.refund  attempt 1 of 2  payments: no answer for 500 ms

    deadlines
      charge-fast  stock.reserved → payment.charged   5.0 s  met after 10 ms
      in-all       order.placed → end                1m 00s  stopped after 40 ms

    undo (parcel.lost): 0 of 2
      payment.charged  ↩ payment.refund  attempt 1 of 2  payments: no answer for 500 ms
      stock.reserved   ↩ stock.release                   not yet
      then             order.cancelled                   not published yet
    """)


def test_show_has_the_last_error_and_what_operators_did() -> None:
    saga = stuck()
    saga.tell(CommandSeen("c1", "note", "ada", "ticket 4711", NOON_MS + 3_000, "", True), now=3_000)
    saga.tell(CommandSeen("c2", "cancel", "bob", "why not", NOON_MS + 4_000, "", True), now=4_000)
    saga.tell(CommandSeen("c3", "skip", "ada", "refunded", NOON_MS + 5_000, "e3", True), now=5_000)

    told = shown(saga_tree(saga_document(of(saga), KNOWN, NOON_MS + 6_000)))

    assert "skipped 12:00:05.000 (no payment.refunded within 1 s)\n" in told
    assert "2025-10-09 12:00:03 UTC  ada  note    ticket 4711\n" in told
    assert "bob  cancel  why not; refused: the saga is being compensated already\n" in told


def test_show_foretells_the_end_from_others() -> None:
    sagas = sagas_of(open_(), *(completed() for _ in range(PAST)))
    (saga,) = sagas.listed(Selection(key="o-1042"), Sort.STATUS, 1, NOON_MS)[0]
    now_ms = NOON_MS + 12

    told = shown(saga_tree(saga_document(of(open_()), KNOWN, now_ms, sagas.forecast(saga, now_ms))))

    assert "charge-fast  stock.reserved → payment.charged   5.0 s  5.0 s left, 0 % to be breached\n" in told
    assert f"expected end: in 18 ms (by {PAST} before it that were at stock.reserved as long)\n" in told


def test_a_version_of_a_flow_that_nobody_knows_is_told() -> None:
    told = shown(saga_tree(saga_document(of(compensating()), Known(play.services()), NOON_MS + 600)))

    assert "this version of its flow is not on saga.flows" in told
    assert "undo (parcel.lost): 0 of 2\n" in told


def test_a_clock_stands_as_time_and_events_say() -> None:
    def stand(saga: Play, after_ms: int) -> Stand:
        return clock_views(of(saga), TIMED, NOON_MS + after_ms)[0].stand

    assert stand(open_(), 100) == "on time"
    assert stand(open_(), 4_010) == "due soon"
    assert stand(open_(), 5_010) == "overdue"
    assert stand(completed(), 100) == "met"
    assert stand(late(), 9_000) == "late"
    cancelled = open_()
    cancelled.tell(CommandSeen("c1", "cancel", "ada", "x", NOON_MS + 1_000, "", False), now=1_000)
    assert stand(cancelled, 9_000) == "stopped"
    missed = saga_of(play.placed(), play.reserved(10), now=6_000)
    missed.tell(CommandSeen("c1", "cancel", "ada", "x", NOON_MS + 7_000, "", False), now=7_000)
    assert stand(missed, 9_000) == "missed"


def test_at_risk_are_those_that_run_out_of_time() -> None:
    past = [saga_of(play.placed(), play.reserved(10), play.charged(20), play.dispatched(30))] * 30
    slow = [saga_of(play.placed(), play.reserved(10), play.charged(8_000), play.dispatched(8_010))] * 30
    sagas = sagas_of(open_(), *past, *slow)

    def at_risk(after_ms: int) -> int:
        return sagas.at_risk(Selection(), 10, NOON_MS + after_ms)[1]

    assert at_risk(12) == 1  # half of them were late
    assert sagas_of(open_(), *past).at_risk(Selection(), 10, NOON_MS + 12)[1] == 0
    assert sagas_of(open_(), *past).at_risk(Selection(), 10, NOON_MS + 4_010)[1] == 1  # warned
    assert sagas_of(open_()).at_risk(Selection(), 10, NOON_MS + 3_000)[1] == 0  # nothing is known
    rows, _ = sagas.at_risk(Selection(), 10, NOON_MS + 12)
    told = shown(
        rows_table(
            [saga_summary(row, NOON_MS + 12, sagas.forecast(row, NOON_MS + 12)) for row in rows],
            4,
            with_forecast=True,
        )
    )
    assert re.search(r"charge-fast 5\.0 s left +50 % +in 18 ms, 9 of 10 in 8\.0 s\n", told)


def test_slower_than_all_others_is_at_risk_once_more_is_waited_than_left() -> None:
    sagas = sagas_of(open_(), *(completed() for _ in range(PAST)))

    assert sagas.at_risk(Selection(), 10, NOON_MS + 2_000)[1] == 0
    assert sagas.at_risk(Selection(), 10, NOON_MS + 2_600)[1] == 1


def test_json_has_the_same_facts() -> None:
    told = to_builtins(saga_document(of(compensating()), KNOWN, NOON_MS + 600))

    assert (told["flow"], told["flow_version"], told["status"]) == ("order", 1, "compensating")
    fast, in_all = told["clocks"]
    assert (fast["stands"], in_all["stands"]) == ("met", "stopped")
    assert told["compensation"]["undos"][0]["waiting_for"] == ("payments",)
    assert [event["by_tracker"] for event in told["events"]] == [False] * 4 + [True]
    overdue = to_builtins(saga_summary(row(open_()), NOON_MS + 6_000))["clocks"]
    assert overdue[0] | {"due": ""} == {
        "rule": "charge-fast",
        "event": "",
        "due": "",
        "stands": "overdue",
        "left_ms": -990,
    }


def test_a_dry_run_has_the_undos_in_their_order_and_what_comes_behind() -> None:
    plan = dry_run(of(completed()), KNOWN, "it came back", NOON_MS)
    assert plan is not None

    assert shown(plan_picture("o-1042", plan_document("x", plan, False))) == dedent("""\
    o-1042: 2 to be undone, one after the other
        1.  payment.charged  ↩ payment.refund  to payments-topic
        2.  stock.reserved   ↩ stock.release   to inventory-topic
      then                   order.cancelled   to orders-topic
    """)
    assert '{"about":"payment.charged"' in shown(plan_picture("o-1042", plan_document("x", plan, True)))
    first = to_builtins(plan_document("s-1", plan, payloads=False))["undos"][0]
    assert (first["command"], "payload" in first) == ("payment.refund", False)


def test_a_dry_run_tells_what_can_not_be_done() -> None:
    plan = dry_run(of(completed()), Known(play.services("payments"), KNOWN.flows), "", NOON_MS)

    assert plan is not None
    assert "can't be done now: no service announces payment.refund" in shown(
        plan_picture("x", plan_document("x", plan, False))
    )


def test_a_dry_run_of_one_that_is_being_undone_is_about_the_rest() -> None:
    saga = compensating()
    (refund,) = published(saga.effects)
    saga.tell(play.undone(refund, "payment.refunded", 200), now=300)

    plan = dry_run(of(saga), KNOWN, "", NOON_MS)

    assert plan is not None
    assert [undo.type for undo in plan.undos] == ["stock.reserved"]
    assert "1 left to undo" in shown(plan_picture("x", plan_document("x", plan, False)))


def test_without_a_flow_there_is_no_plan() -> None:
    foreign = Play()
    foreign.tell(play.placed())

    assert dry_run(of(foreign), KNOWN, "", NOON_MS) is None
