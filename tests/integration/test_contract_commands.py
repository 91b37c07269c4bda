"""Map, funnel, findings and orphans of the order demo on a real Kafka, as a user asks for them."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saga import Publisher, ServiceSettings
from saga.core.envelope import Envelope
from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaProducer
from schemas.orders import OrderLine, OrderPlaced
from services.orders.handlers import orders
from services.payments.provider import DECLINED_CARD
from tests.integration.processes import Process
from tests.integration.shop import Shop
from tests.integration.tracker_load import read as records_of
from tests.waiting import until
from tracker.core.effect import ALERTS_TOPIC

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

COMMAND = Path(sys.executable).with_name("saga")
WITHIN_SECONDS = 90
DEAR = 500.0
FLOW = """
flow: order
version: 1
begins: order.placed
ends: {completed: parcel.dispatched, failed: order.cancelled}
events:
  stock.reserved: {by: inventory, undo: stock.release, undone: stock.released}
  payment.charged: {by: payments, undo: payment.refund, undone: payment.refunded}
sla:
  - {name: sent-soon, from: payment.charged, to: parcel.dispatched, within: 1s}
compensate:
  when:
    - event: payment.declined
    - {event: parcel.dispatched, if: first.amount >= 500.0}
  then: {event: order.cancelled, with: {order_id: first.order_id, reason: reason}}
"""
NOTHING: dict[str, list[object]] = {"types": [], "handlers": [], "edges": []}


@pytest.fixture(scope="module")
def broker(kafka: LocalKafka) -> Iterator[str]:
    """A broker of the test's own: topics and groups have fixed names. (`kafka` decides about skipping.)"""
    with LocalKafka() as broker:
        broker.start()
        yield broker.bootstrap_servers


@pytest.fixture(scope="module")
def shop(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Shop(broker, tmp_path_factory.mktemp("shop"), FLOW) as shop:
        yield shop


@pytest.fixture
def projector(broker: str, tmp_path: Path) -> Iterator[Process]:
    """One that soon tells where sagas stand still."""
    settings = {
        "SAGA_BOOTSTRAP_SERVERS": broker,
        "SAGA_DATABASE": f"sqlite:///{tmp_path}/sagas.db",
        "SAGA_STANDSTILL_AFTER_MS": "1000",
    }
    process = Process(["saga.cli", "project"], settings, tmp_path / "projector.log")
    process.start()
    yield process
    process.end()


def saga(bootstrap_servers: str, *arguments: str) -> str:
    told = subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "140", "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers},
    )
    return told.stdout


def read(bootstrap_servers: str, *arguments: str) -> Any:
    """What a command tells programs; nothing before the tracker has come up."""
    return json.loads(saga(bootstrap_servers, *arguments, "--json") or "{}")


def place(bootstrap_servers: str, order_id: str, *, amount: float = 20, card: str = "", many: int = 1) -> str:
    """Place an order; the id of its saga."""
    order = OrderPlaced(
        order_id=order_id,
        lines=[OrderLine(sku="a-1", quantity=many)],
        amount=amount,
        card=card or "4242-4242-4242-4242",
    )

    async def published() -> str:
        async with Publisher(orders, ServiceSettings(bootstrap_servers=bootstrap_servers)) as publisher:
            return await publisher.publish(order)

    return asyncio.run(published())


def write(bootstrap_servers: str, topic: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
    async def written() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
            await producer.send_and_wait(topic, value, key=b"by-hand", headers=headers)

    asyncio.run(written())


def ended(bootstrap_servers: str, sagas: int) -> bool:
    told = read(bootstrap_servers, "variants", "order")
    return bool(told) and told["sagas"] == sagas and not told["not_told_apart"]


def test_after_every_way_was_gone_the_map_of_the_demo_is_what_was_declared(broker: str, shop: Shop) -> None:
    place(broker, "o-good")
    place(broker, "o-declined", card=DECLINED_CARD)
    place(broker, "o-rejected", many=1_000)
    place(broker, "o-dear", amount=DEAR)
    until(lambda: ended(broker, 4), WITHIN_SECONDS, what="four orders have ended")

    told = read(broker, "map", "order")
    assert (told["never_seen"], told["undeclared"]) == (NOTHING, NOTHING)
    assert (told["declared"], told["sagas"], told["in_flight"]) == (True, 4, 0)
    counts = {(edge["from"], edge["to"]): edge["count"] for edge in told["edges"] if not edge["by_tracker"]}
    assert counts["order.placed", "stock.reserved"] == 3
    assert counts["payment.refund", "payment.refunded"] == 1
    assert all(edge["p50_ms"] is not None for edge in told["edges"] if edge["count"])
    drawn = saga(broker, "map", "order")
    assert "└─ inventory.reserve" in drawn
    assert "never seen" not in drawn
    assert 'e0["order.placed<br>4"]' in saga(broker, "map", "order", "--mermaid")

    stages = {stage["type"]: stage for stage in read(broker, "funnel", "order")["stages"]}
    assert [stages[name]["passed"] for name in ("order.placed", "stock.reserved", "payment.charged")] == [
        4,
        3,
        2,
    ]
    assert sum(stage["ended"] for stage in stages.values()) == 4
    assert read(broker, "list", "--finding", "missing", "--finding", "unexpected") == []


def test_what_is_published_by_hand_shows_as_undeclared(broker: str, shop: Shop) -> None:
    saga_id = place(broker, "o-coupon")
    coupon = Envelope(f"coupon-{saga_id}", "coupon.used", "hand", saga_id, 1_760_011_200_000, "nowhere")
    write(broker, "shipping", b"{}", coupon.headers())

    until(
        lambda: [row["id"] for row in read(broker, "list", "--finding", "unexpected")] == [saga_id],
        WITHIN_SECONDS,
        what="the saga has an unexpected event",
    )
    told = read(broker, "map", "order")
    assert told["undeclared"] == {"types": ["coupon.used"], "handlers": [], "edges": []}
    assert "seen but undeclared\n  coupon.used" in saga(broker, "map", "order")
    kinds = {finding["kind"] for finding in read(broker, "show", saga_id)["findings"]}
    assert kinds == {"unexpected", "orphan"}
    assert "no service declares coupon.used here" in saga(broker, "show", saga_id)


def test_a_service_that_is_down_is_waited_for_and_its_sagas_are_stuck_until_they_move(
    broker: str, shop: Shop, projector: Process
) -> None:
    until(lambda: "shipping." in saga(broker, "map", "order"), WITHIN_SECONDS, what="shipping is known")
    shop.processes["shipping"].kill()
    saga_id = place(broker, "o-waits")
    until(
        lambda: [row["id"] for row in read(broker, "list", "--stuck")] == [saga_id],
        WITHIN_SECONDS,
        what="the order is stuck",
    )

    told = read(broker, "show", saga_id)
    assert [owed["service"] for owed in told["waiting_for"]] == ["shipping"]
    assert [finding["kind"] for finding in told["findings"]] == ["stuck"]
    # What comes then depends on which of the orders before lie in the same partition.
    assert told["still_to_come"][0]["type"] == "parcel.dispatched"
    assert "shipping has not answered payment.charged for more than 10 s" in saga(broker, "show", saga_id)
    charged = next(s for s in read(broker, "funnel", "order")["stages"] if s["type"] == "payment.charged")
    assert (charged["standing"], charged["stuck"], charged["overdue"]) == (1, 1, 1)
    until(lambda: _told_of_standstill(broker) == ["standstill"], WITHIN_SECONDS, what="an alert tells it")
    projector.kill()
    projector.start()  # and tells nothing that was told

    shop.processes["shipping"].start()
    until(lambda: read(broker, "list", "--stuck") == [], WITHIN_SECONDS, what="nothing is stuck")
    until(
        lambda: read(broker, "show", saga_id)["status"] == "completed", WITHIN_SECONDS, what="it is completed"
    )
    until(lambda: len(_told_of_standstill(broker)) > 1, WITHIN_SECONDS, what="an alert takes it back")
    assert _told_of_standstill(broker) == ["standstill", "going-on"]


def _told_of_standstill(bootstrap_servers: str) -> list[str]:
    records = asyncio.run(records_of(bootstrap_servers, ALERTS_TOPIC))
    alerts = [json.loads(record.value) for record in records]
    return [alert["cause"] for alert in alerts if alert["key"] == "shipping/payment.charged"]


def test_a_record_that_belongs_to_no_saga_is_listed_with_the_reason(broker: str, shop: Shop) -> None:
    write(broker, "orders", b"no event", [])

    told = read(broker, "orphans")
    assert [(orphan["topic"], orphan["reason"]) for orphan in told["orphans"]][-1] == (
        "orders",
        "not-an-event",
    )
    assert "no CloudEvent, and no correlation rule is for its topic" in saga(broker, "orphans", "orders")
    assert "there is no topic nope" in _complaint(broker, "orphans", "nope")


def test_a_flow_that_nobody_knows_is_refused_with_the_nearest_name(broker: str, shop: Shop) -> None:
    assert "did you mean order?" in _complaint(broker, "map", "ordr")


def _complaint(bootstrap_servers: str, *arguments: str) -> str:
    told = subprocess.run(
        [COMMAND, *arguments, "--bootstrap-servers", bootstrap_servers],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.returncode == 1
    return told.stderr
