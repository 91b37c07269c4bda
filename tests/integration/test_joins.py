"""Orders that name their payments, and payments that name only themselves, on a real Kafka, no headers."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.integration.processes import Process
from tests.waiting import until
from tracker.core.errors import NothingTracked
from tracker.core.saga import Saga, decode_saga
from tracker.view.changelog import open_changelog

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

COMMAND = Path(sys.executable).with_name("saga")
KILLS = int(os.environ.get("SAGA_TEST_KILLS", "4"))
ORDERS_BETWEEN_KILLS = 100
WITHIN_SECONDS = 60
RULES = {
    "orders": """\
correlate: orders
version: 1
topics: shop.orders
saga: {keys: {order: {path: $.order}, payment: {path: $.payment}}}
type: {path: $.type}
id: {path: $.id}
""",
    "payments": """\
correlate: payments
version: 1
topics: shop.payments
saga: {path: $.payment, prefix: "payment:"}
type: {path: $.type}
id: {path: $.id}
""",
}


class Shop:
    """A broker of the test's own, a tracker that knows the rules, and the truth about all orders."""

    def __init__(self, servers: str, folder: Path) -> None:
        self.settings = KafkaSettings(bootstrap_servers=servers)
        self.truth: dict[str, set[str]] = defaultdict(set)
        flows = folder / "flows"
        flows.mkdir()
        for name, text in RULES.items():
            (flows / f"{name}.yaml").write_text(text)
        self.tracker = Process(
            ["saga.cli", "track", "--flows", str(flows)],
            {
                "SAGA_BOOTSTRAP_SERVERS": servers,
                "SAGA_STATE_DIR": str(folder / "state"),
                "SAGA_SESSION_TIMEOUT_MS": "2000",
                "SAGA_SOURCES_INTERVAL_MS": "200",
            },
            folder / "tracker.log",
        )

    async def publish(self, orders: int, chance: random.Random) -> None:
        """Further orders, each with one or two payments, in any order; some records twice."""
        await ensure_topics(self.settings, [Topic("shop.orders", 3), Topic("shop.payments", 3)])
        records: list[tuple[str, dict[str, str]]] = []
        for number in range(len(self.truth), len(self.truth) + orders):
            order = f"o-{number}"
            records.append(("shop.orders", {"order": order, "type": "placed", "id": f"{order}/placed"}))
            for payment in [f"p-{number}-{each}" for each in range(chance.randint(1, 2))]:
                asked = {"order": order, "payment": payment, "type": "asked", "id": f"{payment}/asked"}
                records.append(("shop.orders", asked))
                for kind in ("authorized", "captured"):
                    records.append(
                        ("shop.payments", {"payment": payment, "type": kind, "id": f"{payment}/{kind}"})
                    )
            self.truth[f"order:{order}"] = {
                row["id"] for _, row in records if row["id"].startswith((f"{order}/", f"p-{number}-"))
            }
        chance.shuffle(records)
        async with AIOKafkaProducer(bootstrap_servers=self.settings.bootstrap_servers) as producer:
            for topic, row in records:
                for _ in range(chance.choice([1, 1, 1, 2])):
                    await producer.send(topic, json.dumps(row).encode(), row["id"].encode())
            await producer.flush()

    async def sagas(self) -> dict[str, Saga]:
        found: dict[str, Saga] = {}
        try:
            async with open_changelog(self.settings) as changelog:
                async for changes in changelog.to_end():
                    for change in changes:
                        assert change.value is not None
                        found[change.saga] = decode_saga(change.value)
        except NothingTracked:
            pass
        return found

    def events(self) -> int:
        return sum(len(saga.steps) for saga in asyncio.run(self.sagas()).values())

    def visible(self) -> dict[str, set[str]]:
        """The events of all sagas that belong to no other."""
        sagas = asyncio.run(self.sagas())
        assert all(not saga.steps for saga in sagas.values() if saga.joined)
        return {saga.id: set(saga.steps) for saga in sagas.values() if not saga.joined}

    def saga(self, *arguments: str) -> str:
        told = subprocess.run(
            [COMMAND, *arguments, "--bootstrap-servers", self.settings.bootstrap_servers],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "COLUMNS": "200"},
        )
        assert told.returncode == 0, told.stderr
        return told.stdout


@pytest.fixture
def shop(kafka: LocalKafka, tmp_path: Path) -> Iterator[Shop]:
    with LocalKafka() as broker:
        broker.start()
        shop = Shop(broker.bootstrap_servers, tmp_path)
        try:
            yield shop
        finally:
            shop.tracker.end()
            print(shop.tracker.output()[-10_000:])


def test_each_order_has_the_events_of_its_payments_whatever_is_killed(shop: Shop) -> None:
    seed = int(os.environ.get("SAGA_TEST_SEED") or random.randrange(1_000_000))
    print(f"SAGA_TEST_SEED={seed}")
    chance = random.Random(seed)
    shop.tracker.start()
    for _ in range(KILLS):
        before = shop.events()
        asyncio.run(shop.publish(ORDERS_BETWEEN_KILLS, chance))
        some = chance.randint(1, 3 * ORDERS_BETWEEN_KILLS)
        until(lambda: shop.events() >= before + some, WITHIN_SECONDS, what=f"{some} more events")  # noqa: B023
        shop.tracker.kill()
        shop.tracker.start()
    asyncio.run(shop.publish(ORDERS_BETWEEN_KILLS, chance))

    until(lambda: shop.visible() == shop.truth, WITHIN_SECONDS, what="each order with its payments")
    for name in ("payment:p-7-0", "order:o-7"):
        assert "order:o-7" in shop.saga("show", name).splitlines()[0]
    listed = json.loads(shop.saga("list", "--limit", "10000", "--json"))
    assert {row["id"] for row in listed} == shop.truth.keys()
