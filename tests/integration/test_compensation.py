"""Compensation on a real Kafka: services and tracker are killed while orders are being undone."""

import asyncio
import random
from collections import defaultdict
from pathlib import Path

import pytest

from saga import Publisher, ServiceSettings
from saga.local import LocalKafka
from schemas.orders import OrderLine, OrderPlaced
from services.orders.handlers import orders
from services.payments.provider import BROKEN_CARD, DECLINED_CARD
from tests.integration.auditor import BUSINESS_TOPICS, committed_records
from tests.integration.shop import Shop

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

SETTLE_SECONDS = 120
DEAR = 500.0

FLOW = """
flow: order
version: 1
begins: order.placed
ends: {completed: parcel.dispatched, failed: order.cancelled}
events:
  stock.reserved:
    by: inventory
    undo: {event: stock.release, with: {order_id: data.order_id, lines: data.lines}}
    undone: stock.released
    undo_within: 5m
  payment.charged:
    by: payments
    undo: payment.refund
    undone: payment.refunded
    undo_within: 5m
compensate:
  when:
    - event: payment.declined
    - {event: parcel.dispatched, if: first.amount >= 500.0}
    - dead_letter: [payments]
  order: reverse
  then: {event: order.cancelled, with: {order_id: first.order_id, reason: reason}}
"""


class Books:
    """What stands on the business topics: ids of events, by type and order."""

    def __init__(self) -> None:
        self._ids: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    @classmethod
    async def read(cls, bootstrap_servers: str) -> "Books":
        books = cls()
        async for record in committed_records(bootstrap_servers, BUSINESS_TOPICS):
            headers = dict(record.headers)
            books._ids[headers["ce_type"].decode()][record.key.decode()].add(headers["ce_id"].decode())
        return books

    def count(self, event_type: str, order: str) -> int:
        """How many different events of this type the order has: a repeat has the same id."""
        return len(self._ids[event_type][order])


def order(number: int) -> OrderPlaced:
    card = {3: DECLINED_CARD, 7: BROKEN_CARD}.get(number % 10, "4242-4242-4242-4242")
    lines = [OrderLine(sku="a-1", quantity=1000 if number % 10 == 5 else 1)]
    amount = DEAR if number % 10 in (1, 6) else 20
    return OrderPlaced(order_id=f"o-{number}", lines=lines, amount=amount, card=card)


EXPECTED: dict[int, tuple[int, ...]] = {
    # number % 10: reserved, released, charged, refunded, cancelled
    0: (1, 0, 1, 0, 0),
    1: (1, 1, 1, 1, 1),
    2: (1, 0, 1, 0, 0),
    3: (1, 1, 0, 0, 1),
    4: (1, 0, 1, 0, 0),
    5: (0, 0, 0, 0, 1),
    6: (1, 1, 1, 1, 1),
    7: (1, 1, 0, 0, 1),
    8: (1, 0, 1, 0, 0),
    9: (1, 0, 1, 0, 0),
}
TYPES = ("stock.reserved", "stock.released", "payment.charged", "payment.refunded", "order.cancelled")


def differences(books: Books, placed: int) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """By order, what it has and what it should have."""
    found = {}
    for number in range(placed):
        counts = tuple(books.count(name, f"o-{number}") for name in TYPES)
        if counts != EXPECTED[number % 10]:
            found[f"o-{number}"] = (counts, EXPECTED[number % 10])
    return found


async def settled(bootstrap_servers: str, placed: int) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_SECONDS
    while True:
        wrong = differences(await Books.read(bootstrap_servers), placed)
        if not wrong:
            break
        assert loop.time() < deadline, f"{len(wrong)} of {placed} orders: {dict(list(wrong.items())[:5])}"
        await asyncio.sleep(0.5)
    # Whatever is repeated by mistake would come within moments.
    await asyncio.sleep(2)
    assert differences(await Books.read(bootstrap_servers), placed) == {}


async def test_every_failed_order_is_undone_exactly_once_through_kills(
    broker: LocalKafka, tmp_path: Path
) -> None:
    chance = random.Random(11)
    settings = ServiceSettings(bootstrap_servers=broker.bootstrap_servers)
    with Shop(broker.bootstrap_servers, tmp_path, FLOW) as shop:
        async with Publisher(orders, settings) as publisher:
            placed = 0
            await asyncio.sleep(4)
            victims = ["tracker", "inventory", "tracker", "payments", "tracker", "orders"] * 2
            for victim in victims:
                for _ in range(10):
                    await publisher.publish_all([order(placed + index) for index in range(10)])
                    placed += 10
                    await asyncio.sleep(chance.uniform(0.02, 0.12))
                await asyncio.to_thread(shop.processes[victim].kill)
                shop.processes[victim].start()
                await asyncio.sleep(chance.uniform(0.2, 2.0))
            await settled(broker.bootstrap_servers, placed)
        for process in shop.processes.values():
            assert await asyncio.to_thread(process.stop) == 0, process.output()[-2000:]
