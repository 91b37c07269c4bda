"""A flow file against what services announce, against other files and against what a cluster follows."""

from pathlib import Path

import pytest

from saga.core.receipt import Publication, ServiceAnnouncement, Subscription
from services.inventory.handlers import inventory
from services.orders.handlers import orders
from services.payments.handlers import payments
from services.shipping.handlers import shipping
from tracker.core.flow import Flow, Flows
from tracker.flow.check import check, check_against, check_together
from tracker.flow.files import flow_paths, read_flow_file
from tracker.flow.parse import FlowFile, parse

SHIPPED = Path(__file__).parents[2] / "schemas" / "flows"
SERVICES = [service.announcement() for service in (orders, inventory, payments, shipping)]
ORDER_TEXT = (SHIPPED / "order.yaml").read_text(encoding="utf-8")


def told(file: FlowFile, services: list[ServiceAnnouncement] = SERVICES) -> list[str]:
    assert file.problems == ()
    return [f"{problem.line}: {problem.told}" for problem in check(file, services)]


@pytest.mark.parametrize("path", list(flow_paths([SHIPPED])), ids=lambda path: path.name)
def test_the_files_that_ship_fit_the_services(path: Path) -> None:
    assert told(read_flow_file(path)) == []


def test_the_files_that_ship_fit_each_other() -> None:
    assert check_together([read_flow_file(path) for path in flow_paths([SHIPPED])]) == ()


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "begins: order.placed",
            "begins: order.place",
            "publishes or handles `order.place`; did you mean order.placed?",
        ),
        (
            "completed: parcel.dispatched",
            "completed: parcel.sent",
            "no service publishes or handles `parcel.sent`",
        ),
        (
            "failed: order.cancelled",
            "failed: order.canceled",
            "handles `order.canceled`; did you mean order.cancelled?",
        ),
        (
            "  payment.charged:",
            "  payment.charge:",
            "handles `payment.charge`; did you mean payment.charged?",
        ),
        (
            "by: payments",
            "by: payment",
            "known are: inventory, orders, payments, shipping; did you mean payments?",
        ),
        (
            "by: payments",
            "by: shipping",
            "`shipping` does not publish `payment.charged`, `payments` publishes it",
        ),
        (
            "event: stock.release",
            "event: stock.releas",
            "no service handles the command `stock.releas`; did you mean stock.release?",
        ),
        (
            "undone: stock.released",
            "undone: payment.refunded",
            "does not come from who handles `stock.release`: it publishes `stock.released`",
        ),
        ("from: stock.reserved", "from: stock.reservd", "did you mean stock.reserved?"),
        ("to: [payment.charged", "to: [payment.chargd", "did you mean payment.charged?"),
        ("- event: payment.declined", "- event: payment.refused", "handles `payment.refused`"),
        ("[payments, shipping]", "[payments, shiping]", "there is no service `shiping`"),
        ("    event: order.cancelled", "    event: order.undone", "`order.undone`, so its topic is unknown"),
        (
            "sla:",
            "sla:\n  - {name: a, event: stock.reserved, by: orders, within: 1s}",
            "`orders` does not handle `stock.reserved`, `payments` handles it",
        ),
        (
            "sla:",
            "sla:\n  - {name: a, within: 1s, on_breach: [{emit: order.lat}]}",
            "`order.lat`, so its topic is unknown",
        ),
    ],
)
def test_what_services_do_not_know_is_told(right: str, wrong: str, message: str) -> None:
    found = told(parse(ORDER_TEXT.replace(right, wrong, 1), "order.yaml"))
    assert any(message in line for line in found), found


def test_a_wrong_event_is_told_where_its_name_stands() -> None:
    text = ORDER_TEXT.replace("  payment.charged:", "  payment.charge:", 1)
    line = text.splitlines().index("  payment.charge:") + 1

    (problem, *_) = check(parse(text, "order.yaml"), SERVICES)
    assert (problem.line, problem.column) == (line, 3)


def test_what_the_tracker_publishes_counts_as_published() -> None:
    quiet = [ServiceAnnouncement("orders", [*orders.announcement().subscribes], []), *SERVICES[1:]]
    quiet[0].subscribes.append(Subscription("order.cancelled", "orders", "tell"))
    quiet[0].subscribes.append(Subscription("order.placed", "orders", "greet"))

    assert told(parse(ORDER_TEXT, "order.yaml"), quiet) == []


def test_an_end_that_no_chain_of_handlers_reaches_is_told() -> None:
    deaf = ServiceAnnouncement(
        "shipping",
        [Subscription("payment.chargd", "payments", "dispatch")],
        [Publication("parcel.dispatched", "shipping", "dispatch")],
    )

    assert told(parse(ORDER_TEXT, "order.yaml"), [*SERVICES[:3], deaf]) == [
        "11: no chain of handlers leads from `order.placed` to `parcel.dispatched`"
    ]


def test_a_begin_that_nobody_handles_is_told() -> None:
    assert "9: no service handles `order.placed`: nothing would follow it" in told(
        parse(ORDER_TEXT, "order.yaml"), [SERVICES[0], *SERVICES[2:]]
    )


def test_an_event_on_two_topics_can_not_be_emitted() -> None:
    other = ServiceAnnouncement("audit", [Subscription("order.cancelled", "audit", "note")], [])

    found = told(parse(ORDER_TEXT, "order.yaml"), [*SERVICES, other])
    assert any("on several topics, `audit` and `orders`" in line for line in found)


def flow_text(name: str = "order", version: int = 1, begins: str = "order.placed", end: str = "a.end") -> str:
    return f"flow: {name}\nversion: {version}\nbegins: {begins}\nends: {{completed: {end}}}\n"


def known(*texts: str, retired: frozenset[tuple[str, int]] = frozenset()) -> Flows:
    flows = [parse(text).flow for text in texts]
    return Flows(tuple(flow for flow in flows if isinstance(flow, Flow)), retired)


def test_a_version_stands_in_one_file() -> None:
    files = [parse(flow_text(), "a.yaml"), parse(flow_text(), "b.yaml")]

    assert [str(problem) for problem in check_together(files)] == [
        "b.yaml:2:10: a.yaml has order@1 already: raise `version`, or remove one"
    ]


def test_an_event_begins_one_flow() -> None:
    files = [parse(flow_text("order"), "a.yaml"), parse(flow_text("shop"), "b.yaml")]

    assert [str(problem) for problem in check_together(files)] == [
        "b.yaml:3:9: `order.placed` begins the flow order in a.yaml already: an event begins one flow"
    ]


def test_only_the_newest_version_of_a_flow_begins_sagas() -> None:
    texts = [flow_text(version=1), flow_text(version=2, begins="order.accepted"), flow_text("shop")]

    assert check_together([parse(text, f"{number}.yaml") for number, text in enumerate(texts)]) == ()


def test_a_version_that_ran_keeps_its_meaning() -> None:
    cluster = known(flow_text())

    assert check_against(parse(flow_text() + "# more\n"), cluster) == ()
    assert check_against(parse(flow_text(version=2, end="b.end")), cluster) == ()
    (problem,) = check_against(parse(flow_text(end="b.end"), "a.yaml"), cluster)
    assert str(problem) == "a.yaml:2:10: order@1 says something else in this cluster: raise `version`"


def test_an_event_of_a_flow_that_is_followed_begins_no_other_until_that_is_retired() -> None:
    shop = parse(flow_text("shop"), "a.yaml")

    (problem,) = check_against(shop, known(flow_text()))
    assert "`saga flows retire order` ends that" in problem.message
    assert check_against(shop, known(flow_text(), retired=frozenset([("order", 1)]))) == ()
