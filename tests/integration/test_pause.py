"""`saga pause` and `saga resume` with tracker and services, as operators run them."""

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
from saga.local import LocalKafka
from schemas.orders import OrderLine, OrderPlaced
from services.orders.handlers import orders
from services.payments.provider import BROKEN_CARD
from tests.integration.shop import Shop
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

COMMAND = Path(sys.executable).with_name("saga")
SECONDS_MAX = 120
FLOW = """
flow: order
version: 1
begins: order.placed
ends: {completed: parcel.dispatched, failed: order.cancelled}
sla:
  - {name: charge-in-time, from: stock.reserved, to: payment.charged, within: 10m}
pause:
  when:
    - dead_letter: [payments]
"""


class Operator:
    """The CLI, and the services that orders run through."""

    def __init__(self, bootstrap_servers: str, shop: Shop) -> None:
        self.shop = shop
        self._environment = {**os.environ, "COLUMNS": "160", "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [COMMAND, *arguments], capture_output=True, text=True, timeout=60, env=self._environment
        )

    def saga(self, *arguments: str) -> str:
        told = self.run(*arguments)
        assert told.returncode == 0, told.stderr
        return told.stdout

    def show(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.saga("show", name, "--json"))
        return found

    def until(self, name: str, what: str, **wanted: object) -> None:
        """Until a list tells this of the saga."""

        def told() -> bool:
            listed = self.run("list", "--key", name, "--json")
            rows = json.loads(listed.stdout) if listed.returncode == 0 else []  # nothing is tracked yet
            return bool(rows) and all(rows[0][field] == value for field, value in wanted.items())

        until(told, SECONDS_MAX, what=what)

    def parked(self, name: str) -> set[str]:
        """The services that have parked an event of the saga."""
        return {owed["service"] for owed in self.show(name)["waiting_for"] if owed["parked"]}


@pytest.fixture
def operator(broker: LocalKafka, tmp_path: Path) -> Iterator[Operator]:
    with Shop(broker.bootstrap_servers, tmp_path, FLOW) as shop:
        yield Operator(broker.bootstrap_servers, shop)


def place(broker: LocalKafka, name: str, card: str = "4242-4242-4242-4242") -> None:
    asyncio.run(_place(broker, name, card))


async def _place(broker: LocalKafka, name: str, card: str) -> None:
    settings = ServiceSettings(bootstrap_servers=broker.bootstrap_servers)
    async with Publisher(orders, settings) as publisher:
        lines = [OrderLine(sku="a-1", quantity=1)]
        await publisher.publish(OrderPlaced(order_id=name, lines=lines, amount=20, card=card))


def test_an_order_paused_half_way_stands_still_and_goes_on(broker: LocalKafka, operator: Operator) -> None:
    payments = operator.shop.processes["payments"]
    place(broker, "o-1")
    operator.until("o-1", "it runs through", status="completed")
    payments.kill()
    place(broker, "o-2")
    operator.until("o-2", "its stock is reserved", where="stock.reserved")

    told = operator.saga("pause", "o-2", "--by", "ada", "--reason", "the address is wrong")
    assert told.endswith(": accepted\n")
    payments.start()
    until(lambda: operator.parked("o-2") == {"payments"}, SECONDS_MAX, what="its event is parked")
    payments.kill()
    payments.start()
    place(broker, "o-3")
    operator.until("o-3", "another one passes by", status="completed")

    shown = operator.show("o-2")
    assert (shown["status"], shown["where"]) == ("paused", "stock.reserved")
    assert (shown["paused"]["by"], shown["paused"]["reason"]) == ("ada", "the address is wrong")
    assert [clock["stands"] for clock in shown["clocks"]] == ["paused"]
    assert [row["key"] for row in json.loads(operator.saga("list", "--status", "paused", "--json"))] == [
        "o-2"
    ]
    assert "parked: stock.reserved by payments" in operator.saga("show", "o-2")

    operator.saga("resume", "o-2", "--by", "bob", "--reason", "it is corrected")
    operator.until("o-2", "it goes on", status="completed")
    shown = operator.show("o-2")
    assert [(act["action"], act["by"]) for act in shown["history"]] == [("pause", "ada"), ("resume", "bob")]
    assert [clock["stands"] for clock in shown["clocks"]] == ["met"]


def test_a_flow_pauses_what_a_service_gives_up(broker: LocalKafka, operator: Operator) -> None:
    place(broker, "o-1", BROKEN_CARD)

    operator.until("o-1", "the flow pauses it", status="paused")

    paused = operator.show("o-1")["paused"]
    assert (paused["by"], paused["reason"]) == ("tracker", "payments gave up stock.reserved")
