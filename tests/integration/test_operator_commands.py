"""`saga cancel`, `compensate`, `retry`, `skip`, `done` and `note` with a tracker, as operators run them."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest

from saga.core.envelope import Envelope
from saga.core.receipt import SERVICES_TOPIC, Publication, ServiceAnnouncement, Subscription
from saga.local import LocalKafka
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.integration.processes import Process
from tests.waiting import until

pytestmark = pytest.mark.kafka

COMMAND = Path(sys.executable).with_name("saga")
SECONDS_MAX = 40
TOPIC = "shop"
NOBODY_ANSWERS_MS = 700
FLOW = dedent(f"""
    flow: order
    version: 1
    begins: order.placed
    ends:
      completed: parcel.dispatched
      failed: order.cancelled
    events:
      stock.reserved:
        by: inventory
        undo: stock.release
        undone: stock.released
        undo_within: {NOBODY_ANSWERS_MS}ms
        undo_attempts: 1
    compensate:
      when:
        - event: payment.declined
      then:
        event: order.cancelled
        with: {{order_id: first.order_id, reason: reason}}
    """)
SHOP = ServiceAnnouncement(
    "inventory",
    [Subscription("order.placed", TOPIC, "reserve"), Subscription("stock.release", TOPIC, "release")],
    [
        Publication(name, TOPIC, "shop")
        for name in (
            "order.placed",
            "stock.reserved",
            "stock.released",
            "payment.declined",
            "order.cancelled",
        )
    ]
    + [Publication("parcel.dispatched", TOPIC, "shop")],
)


class Shop:
    """A broker with a tracker that follows the flow. No service runs, so that nothing is ever undone."""

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        (folder / "flows").mkdir()
        (folder / "flows" / "order.yaml").write_text(FLOW)
        self.tracker = Process(
            ["saga.cli", "track", "--flows", str(folder / "flows")],
            {"SAGA_BOOTSTRAP_SERVERS": bootstrap_servers, "SAGA_STATE_DIR": str(folder / "state")},
            folder / "tracker.log",
        )

    async def prepare(self) -> None:
        """The topic of the shop, and who handles what there."""
        await ensure_topics(
            KafkaSettings(bootstrap_servers=self.bootstrap_servers),
            [Topic(TOPIC, 1), Topic(SERVICES_TOPIC, 1, {"cleanup.policy": "compact"})],
        )
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers) as producer:
            await producer.send_and_wait(SERVICES_TOPIC, msgspec.json.encode(SHOP), key=b"inventory")

    def order(self, name: str) -> None:
        """Place an order and reserve its stock; return when the tracker knows."""
        asyncio.run(self._publish(name))
        until(lambda: self.status(name) == "open", SECONDS_MAX, what=f"{name} is open")

    async def _publish(self, name: str) -> None:
        saga, now_ms = f"saga-of-{name}", time.time_ns() // 1_000_000
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers) as producer:
            for number, (event_type, cause) in enumerate(
                [("order.placed", None), ("stock.reserved", f"{name}-0")]
            ):
                envelope = Envelope(f"{name}-{number}", event_type, "inventory", saga, now_ms + number, cause)
                value = json.dumps({"order_id": name}).encode()
                await producer.send_and_wait(TOPIC, value, key=name.encode(), headers=envelope.headers())

    def status(self, name: str) -> str:
        told = self.saga("list", "--key", name, "--json")
        rows = json.loads(told.stdout) if told.returncode == 0 else []
        return rows[0]["status"] if rows else ""

    def undo(self, name: str) -> dict[str, object]:
        """The first undo of a saga that is being undone."""
        found: dict[str, object] = json.loads(self.saga("show", name, "--json").stdout)["undo"]
        return found

    def saga(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "COLUMNS": "160", "SAGA_BOOTSTRAP_SERVERS": self.bootstrap_servers},
        )

    def accepted(self, *arguments: str) -> None:
        told = self.saga(*arguments, "--by", "ada", "--reason", "a test")
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.endswith(": accepted\n")

    def refused(self, *arguments: str) -> str:
        told = self.saga(*arguments, "--reason", "a test")
        assert (told.returncode, told.stdout) == (1, "")
        return told.stderr

    def until(self, name: str, status: str) -> None:
        until(lambda: self.status(name) == status, SECONDS_MAX, what=f"{name} is {status}")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A broker of its own: the names of the tracker's topics are the same for all tests."""
    with LocalKafka() as kafka:
        kafka.start()
        shop = Shop(kafka.bootstrap_servers, tmp_path_factory.mktemp("shop"))
        asyncio.run(shop.prepare())
        shop.tracker.start()
        try:
            yield shop
        finally:
            shop.tracker.end()
            print(shop.tracker.output()[-20_000:])


def test_a_note_is_kept_with_who_and_why(shop: Shop) -> None:
    shop.order("o-1")
    shop.accepted("note", "o-1")

    [act] = json.loads(shop.saga("show", "o-1", "--json").stdout)["history"]
    assert (act["action"], act["by"], act["reason"]) == ("note", "ada", "a test")


def test_a_dry_run_prints_the_plan_and_does_nothing(shop: Shop) -> None:
    shop.order("o-2")

    told = shop.saga("compensate", "o-2", "--dry-run").stdout
    assert [line.rstrip() for line in told.splitlines()] == [
        "o-2 (saga-of-o-2): 1 to be undone",
        "    1.  stock.reserved  ↩ stock.release  to shop",
        "  then                  order.cancelled  to shop",
    ]
    plan = json.loads(shop.saga("compensate", "o-2", "--dry-run", "--json", "--payloads").stdout)
    assert json.loads(plan["undos"][0]["payload"]) == {"order_id": "o-2"}
    assert shop.status("o-2") == "open"


def test_an_undo_that_is_stuck_is_retried_and_then_done_by_hand(shop: Shop) -> None:
    shop.order("o-3")
    shop.accepted("compensate", "o-3")
    shop.until("o-3", "stuck")

    shop.accepted("retry", "o-3")
    until(lambda: shop.undo("o-3")["attempt"] == 2, SECONDS_MAX, what="it is attempted again")
    shop.until("o-3", "stuck")
    assert "an operator (stock.release failed)" in shop.saga("list", "--status", "stuck").stdout

    shop.accepted("done", "o-3", "--event", "stock.reserved")
    shop.until("o-3", "compensated")
    told = shop.saga("show", "o-3").stdout
    assert "done by hand" in told
    assert [line.split() for line in told.splitlines() if line.startswith("  then")] == [
        ["then", "order.cancelled", "published"]
    ]


def test_what_is_skipped_ends_the_compensation_too(shop: Shop) -> None:
    shop.order("o-4")
    shop.accepted("cancel", "o-4")
    shop.until("o-4", "stuck")
    shop.accepted("skip", "o-4")

    shop.until("o-4", "compensated")


def test_cancelled_without_undoing(shop: Shop) -> None:
    shop.order("o-5")
    shop.accepted("cancel", "o-5", "--no-undo")

    shop.until("o-5", "cancelled")


def test_a_refusal_says_why(shop: Shop) -> None:
    shop.order("o-6")

    assert shop.refused("skip", "o-6") == (
        "saga: skip of o-6 (saga-of-o-6) is refused: the saga is not being compensated\n"
    )
    assert "has no undo of payment.charged; what is undone: nothing" in shop.refused(
        "skip", "o-6", "--event", "payment.charged"
    )
    assert "no saga has the id or the business key nobody" in shop.refused("note", "nobody")
    assert "`reason` is empty" in shop.saga("note", "o-6", "--reason", " ").stderr


def test_without_a_tracker_a_command_waits_on_its_topic(shop: Shop) -> None:
    shop.order("o-7")
    shop.tracker.kill()
    told = shop.saga("note", "o-7", "--reason", "unheard", "--timeout", "1", "--json")
    assert told.returncode == 3
    assert json.loads(told.stdout)["accepted"] is None
    assert "is a tracker running?" in told.stderr
    assert shop.saga("note", "o-7", "--reason", "sent", "--no-wait").stdout.endswith(": sent\n")

    shop.tracker.start()

    def reasons() -> list[str]:
        return [act["reason"] for act in json.loads(shop.saga("show", "o-7", "--json").stdout)["history"]]

    until(lambda: reasons() == ["unheard", "sent"], SECONDS_MAX, what="the commands are obeyed")
