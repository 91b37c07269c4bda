"""Nothing lost, nothing doubled: services that are killed, paused and cut off while orders flow."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from saga import Publisher, ServiceSettings
from saga.local import LocalKafka
from schemas.orders import OrderLine, OrderPlaced
from services.orders.handlers import orders
from services.payments.provider import DECLINED_CARD, FLAKY_CARD
from tests.integration.auditor import Ledger, audit
from tests.integration.processes import Process

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

SERVICES = ("orders", "inventory", "payments", "shipping")
SESSION_MS = 3_000
SETTLE_SECONDS = 90
LOG_CHARACTERS = 2_000


@pytest.fixture
def own_kafka(kafka: LocalKafka) -> Iterator[LocalKafka]:
    """A broker that the test may kill. (`kafka` decides about skipping.)"""
    with LocalKafka() as broker:
        yield broker


class Shop:
    """The four services of the example, so many instances of each."""

    def __init__(self, bootstrap_servers: str, logs: Path, instances: int) -> None:
        self.processes = {
            (name, instance): Process(
                [f"services.{name}"],
                {
                    "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
                    "SAGA_INSTANCE": f"{name}-{instance}",
                    "SAGA_SESSION_TIMEOUT_MS": str(SESSION_MS),
                    "SAGA_TRANSACTION_TIMEOUT_MS": "3000",
                    "SAGA_DEMO_PAYMENT_MS": "2",
                },
                logs / f"{name}-{instance}.log",
            )
            for name in SERVICES
            for instance in range(instances)
        }

    def __enter__(self) -> "Shop":
        for process in self.processes.values():
            process.start()
        return self

    def log(self) -> str:
        """What each has said in the end."""
        return "\n".join(
            f"--- {name}-{instance}, which {'runs' if process.running.poll() is None else 'has ended'}\n"
            + process.output()[-LOG_CHARACTERS:]
            for (name, instance), process in self.processes.items()
        )

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.end()


class Orders:
    """Places orders at a steady rate until told to end."""

    def __init__(self, publisher: Publisher, rate: int) -> None:
        self.placed: list[str] = []
        self._publisher = publisher
        self._rate = rate
        self._ending = False

    async def run(self) -> None:
        while not self._ending:
            batch = [_order(len(self.placed) + index) for index in range(self._rate // 20)]
            await self._publisher.publish_all(batch)
            self.placed.extend(order.order_id for order in batch)
            await asyncio.sleep(0.05)

    def end(self) -> None:
        self._ending = True


def _order(number: int) -> OrderPlaced:
    card = {3: DECLINED_CARD, 7: FLAKY_CARD}.get(number % 20, "4242-4242-4242-4242")
    quantity = 1000 if number % 20 == 11 else 1
    lines = [OrderLine(sku="a-1", quantity=quantity)]
    return OrderPlaced(order_id=f"o-{number}", lines=lines, amount=20, card=card)


@pytest.fixture
async def publisher(own_kafka: LocalKafka) -> AsyncIterator[Publisher]:
    settings = ServiceSettings(bootstrap_servers=own_kafka.bootstrap_servers)
    async with Publisher(orders, settings) as publisher:
        yield publisher


async def settled(shop: Shop, bootstrap_servers: str, placed: list[str]) -> Ledger:
    """The ledger once every order has come to an end; fails with what is missing, and the services' logs."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_SECONDS
    while True:
        ledger = await audit(bootstrap_servers)
        missing = set(placed) - ledger.settled()
        if not missing:
            return ledger
        if loop.time() > deadline:
            lost = f"{len(missing)} of {len(placed)} orders lost: {sorted(missing)[:5]}"
            raise AssertionError(f"{lost}\n{ledger}\n{shop.log()}")
        await asyncio.sleep(0.5)


def judge(ledger: Ledger, placed: list[str]) -> None:
    """Every order exactly once through every step of its way."""
    assert ledger.doubled() == {}
    assert ledger.doubled_ids() == []
    assert ledger.orders("order.placed") == set(placed)
    assert ledger.orders("stock.reserved") | ledger.orders("stock.rejected") == set(placed)
    assert ledger.orders("stock.reserved") & ledger.orders("stock.rejected") == set()
    assert ledger.orders("payment.charged") | ledger.orders("payment.declined") == ledger.orders(
        "stock.reserved"
    )
    assert ledger.orders("parcel.dispatched") == ledger.orders("payment.charged")
    assert ledger.orders("order.cancelled") == ledger.orders("stock.rejected")
    handled = [(service, r["event"]) for service, r in ledger.receipts if r["outcome"] == "handled"]
    assert len(handled) == len(set(handled)), "a receipt was committed twice"
    assert {r["event"] for _, r in ledger.receipts} >= set(ledger.causes.values())


async def finish(shop: Shop, kafka: LocalKafka, load: Orders, running: "asyncio.Task[None]") -> None:
    load.end()
    await running
    await settled(shop, kafka.bootstrap_servers, load.placed)
    for process in shop.processes.values():
        assert await asyncio.to_thread(process.stop) == 0, process.output()[-2000:]
    judge(await audit(kafka.bootstrap_servers), load.placed)


async def test_orders_flow_through_four_services_once(
    own_kafka: LocalKafka, publisher: Publisher, tmp_path: Path
) -> None:
    with Shop(own_kafka.bootstrap_servers, tmp_path, instances=1) as shop:
        load = Orders(publisher, rate=400)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(3)
        await finish(shop, own_kafka, load, running)
    assert len(load.placed) > 100


async def test_twenty_kills_lose_and_double_nothing(
    own_kafka: LocalKafka, publisher: Publisher, tmp_path: Path
) -> None:
    chance = random.Random(20)
    with Shop(own_kafka.bootstrap_servers, tmp_path, instances=1) as shop:
        load = Orders(publisher, rate=400)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(2)
        for kill in range(20):
            process = shop.processes[SERVICES[kill % len(SERVICES)], 0]
            await asyncio.to_thread(process.kill)
            process.start()
            await asyncio.sleep(chance.uniform(0.3, 1.5))
        await finish(shop, own_kafka, load, running)


async def test_pauses_beyond_the_session_timeout_lose_and_double_nothing(
    own_kafka: LocalKafka, publisher: Publisher, tmp_path: Path
) -> None:
    chance = random.Random(7)
    with Shop(own_kafka.bootstrap_servers, tmp_path, instances=2) as shop:
        load = Orders(publisher, rate=300)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(5)
        for pause in range(5):
            paused = [shop.processes["inventory", pause % 2], shop.processes["payments", pause % 2]]
            for process in paused:
                process.pause()
            await asyncio.sleep(SESSION_MS / 1000 + chance.uniform(1.0, 3.0))
            for process in paused:
                process.resume()
            await asyncio.sleep(chance.uniform(0.5, 2.0))
        await finish(shop, own_kafka, load, running)


async def test_a_broker_that_dies_and_comes_back_loses_and_doubles_nothing(
    own_kafka: LocalKafka, publisher: Publisher, tmp_path: Path
) -> None:
    with Shop(own_kafka.bootstrap_servers, tmp_path, instances=1) as shop:
        await asyncio.sleep(1.5)  # the first time while they begin
        await asyncio.to_thread(own_kafka.kill)
        await asyncio.to_thread(own_kafka.start)
        load = Orders(publisher, rate=300)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(4)
        await asyncio.to_thread(own_kafka.kill)
        await asyncio.sleep(2)
        await asyncio.to_thread(own_kafka.start)
        await asyncio.sleep(3)
        await finish(shop, own_kafka, load, running)


async def test_an_event_that_is_tried_again_on_its_own_holds_up_nothing(
    own_kafka: LocalKafka, publisher: Publisher, tmp_path: Path
) -> None:
    """Its first receipt is a transaction without any offset that has moved."""
    with Shop(own_kafka.bootstrap_servers, tmp_path, instances=1) as shop:
        for order_id in ("o-1", "o-2", "o-3"):
            lines = [OrderLine(sku="a-1", quantity=1)]
            await publisher.publish(OrderPlaced(order_id=order_id, lines=lines, amount=20, card=FLAKY_CARD))
            ledger = await settled(shop, own_kafka.bootstrap_servers, [order_id])
            assert order_id in ledger.orders("parcel.dispatched")
        for process in shop.processes.values():
            assert await asyncio.to_thread(process.stop) == 0, process.output()[-2000:]
