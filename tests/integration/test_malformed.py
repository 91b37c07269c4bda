"""A thousand records that are no events: each ends with a reason, and the service goes on."""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from saga import Publisher, ServiceSettings
from saga.local import LocalKafka
from schemas.orders import OrderLine, OrderPlaced
from services.orders.handlers import orders
from tests.integration.auditor import audit, committed_records
from tests.integration.processes import Process

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

COUNT = 1000
KINDS = ("random bytes", "truncated", "wrong types", "no headers", "unknown type", "huge", "null")


@pytest.fixture
def own_kafka(kafka: LocalKafka) -> Iterator[LocalKafka]:
    """A broker whose `orders` topic is this test's alone."""
    with LocalKafka() as broker:
        yield broker


def malformed(number: int, chance: random.Random) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    """Value and headers of a record that no handler can be given."""
    order = {"order_id": f"bad-{number}", "lines": [], "amount": 1, "card": "1"}
    headers = [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"bad-%d" % number),
        ("ce_source", b"test"),
        ("ce_type", b"order.placed"),
    ]
    good = json.dumps(order).encode()
    match KINDS[number % len(KINDS)]:
        case "random bytes":
            return chance.randbytes(chance.randrange(1, 300)), headers
        case "truncated":
            return good[: chance.randrange(1, len(good) - 1)], headers
        case "wrong types":
            return json.dumps({**order, "amount": "a lot", "lines": {"sku": 1}}).encode(), headers
        case "no headers":
            return good, chance.choice([[], [("ce_id", b"\xff\xfe")], headers[:3], [("ce_type", b"")]])
        case "unknown type":
            return good, [*headers[:-1], ("ce_type", b"order.vanished")]
        case "huge":
            return b'{"order_id": "' + b"x" * 1_000_000, headers
        case _:
            return None, headers


async def test_each_of_a_thousand_malformed_records_is_dead_lettered_with_its_reason(
    own_kafka: LocalKafka, tmp_path: Path
) -> None:
    servers = own_kafka.bootstrap_servers
    service = Process(["services.inventory"], {"SAGA_BOOTSTRAP_SERVERS": servers}, tmp_path / "inventory.log")
    chance = random.Random(1000)
    sent = [malformed(number, chance) for number in range(COUNT)]
    service.start()
    try:
        async with Publisher(orders, ServiceSettings(bootstrap_servers=servers)) as publisher:
            await _send(servers, sent)
            await publisher.publish(_good("last"))
            await _until_settled(servers, "last")
        assert await asyncio.to_thread(service.stop) == 0, service.output()[-2000:]
    finally:
        service.end()

    ledger = await audit(servers)
    letters = [record async for record in committed_records(servers, ["saga.dlq.inventory"])]
    assert Counter(record.value for record in letters) == Counter(value for value, _ in sent)
    for record in letters:
        headers = dict(record.headers)
        assert headers["__streams.errors.exception"]
        assert headers["__streams.errors.message"]
        assert headers["__streams.errors.topic"] == b"orders"
    receipts = [receipt for _, receipt in ledger.receipts if receipt["outcome"] == "dead-lettered"]
    assert len(receipts) == COUNT
    assert all(receipt["failure"] for receipt in receipts)
    assert ledger.orders("stock.reserved") == {"last"}


async def _send(servers: str, records: list[tuple[bytes | None, list[tuple[str, bytes]]]]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, max_request_size=4_000_000) as producer:
        for value, headers in records:
            await producer.send("orders", value, key=os.urandom(4).hex().encode(), headers=headers)


def _good(order_id: str) -> OrderPlaced:
    return OrderPlaced(order_id=order_id, lines=[OrderLine(sku="a-1", quantity=1)], amount=1, card="1")


async def _until_settled(servers: str, order_id: str) -> None:
    async with asyncio.timeout(60):
        while order_id not in (await audit(servers)).orders("stock.reserved"):
            await asyncio.sleep(0.2)
        while len([letter async for letter in committed_records(servers, ["saga.dlq.inventory"])]) < COUNT:
            await asyncio.sleep(0.2)
