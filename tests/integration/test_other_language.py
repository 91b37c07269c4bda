"""A service in JavaScript among those in Python: headers, receipts and an announcement are all it takes."""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from saga import KafkaSettings
from saga.core.ids import derived_id
from saga.local import LocalKafka
from saga.runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRecord,
    TopicPartition,
    partition_counts,
)
from services.demo.node import NodeMissing, PackagesMissing, loyalty_command
from tests.integration.processes import Process
from tests.integration.test_demo import demo
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SAGA = Path(sys.executable).with_name("saga")
SCHEMAS = Path(__file__).parents[2] / "docs" / "json"
WITHIN_SECONDS = 90


class Command(Process):
    """A command that is no Python."""

    def __init__(self, command: list[str], settings: dict[str, str], log: Path) -> None:
        super().__init__([], settings, log)
        self._command = command


@pytest.fixture(scope="session")
def loyalty() -> list[str]:
    """The command that runs the service."""
    try:
        return loyalty_command()
    except (NodeMissing, PackagesMissing) as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs Node.js and what the service needs: {error}")
        pytest.skip(str(error))


@pytest.fixture
def broker(kafka: LocalKafka) -> Iterator[str]:
    """A Kafka of the test's own: the names of the topics are those of the example."""
    with LocalKafka() as own:
        own.start()
        yield own.bootstrap_servers


def dispatched(name: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers as any producer writes them."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"parcel-{name}",
        "ce_source": "warehouse",
        "ce_type": "parcel.dispatched",
        "ce_time": "2026-01-01T10:00:00.000Z",
        "ce_correlationid": f"saga-{name}",
    }
    value = json.dumps({"order_id": name, "tracking_code": "T"})
    return name.encode(), value.encode(), [(key, text.encode()) for key, text in headers.items()]


def other(name: str, **changed: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    key, value, headers = dispatched(name)
    return key, value, [(header, changed.get(header, text.decode()).encode()) for header, text in headers]


async def send(servers: str, *records: tuple[bytes, bytes, list[tuple[str, bytes]]]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for key, value, headers in records:
            await producer.send_and_wait("shipping", value, key=key, headers=headers)


async def read(servers: str, topic: str) -> list[ConsumerRecord]:
    """All committed records of a topic."""
    counts = await partition_counts(KafkaSettings(bootstrap_servers=servers), [topic])
    partitions = [TopicPartition(topic, number) for number in range(counts.get(topic, 0))]
    if not partitions:
        return []
    found: list[ConsumerRecord] = []
    async with AIOKafkaConsumer(
        bootstrap_servers=servers, auto_offset_reset="earliest", isolation_level="read_committed"
    ) as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += batch
    return found


def granted(servers: str) -> int:
    """How many events the service has published."""
    return len(asyncio.run(read(servers, "loyalty")))


def receipts(servers: str) -> list[dict[str, Any]]:
    schema = json.loads((SCHEMAS / "receipts.schema.json").read_text())
    batches = [json.loads(record.value) for record in asyncio.run(read(servers, "saga.receipts"))]
    for batch in batches:
        jsonschema.validate(batch, schema)
    return [receipt for batch in batches if batch["service"] == "loyalty" for receipt in batch["receipts"]]


def shown(servers: str, saga_id: str) -> dict[str, Any]:
    told = subprocess.run(
        [SAGA, "show", saga_id, "--json", "--bootstrap-servers", servers],
        capture_output=True,
        text=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(told.stdout) if told.returncode == 0 else {"events": []}
    return found


def test_its_events_and_receipts_are_tracked_without_any_python_in_it(
    loyalty: list[str], broker: str, tmp_path: Path
) -> None:
    settings = {"SAGA_BOOTSTRAP_SERVERS": broker, "SAGA_STATE_DIR": str(tmp_path / "state")}
    service = Command(loyalty, settings, tmp_path / "loyalty.log")
    tracker = Process(["saga.cli", "track"], settings, tmp_path / "tracker.log")
    try:
        service.start()
        tracker.start()
        until(lambda: "loyalty is running" in service.output(), WITHIN_SECONDS, what="the service runs")
        asyncio.run(send(broker, dispatched("o-1")))
        until(lambda: len(shown(broker, "saga-o-1")["events"]) == 2, WITHIN_SECONDS, what="both events")
        until(lambda: shown(broker, "saga-o-1")["status"] == "completed", WITHIN_SECONDS, what="the receipt")
        cause, effect = shown(broker, "saga-o-1")["events"]
        assert service.stop() == 0, service.output()
    finally:
        print(service.output(), tracker.output()[-5_000:])
        service.end()
        tracker.end()

    assert (effect["type"], effect["source"], effect["key"]) == ("points.granted", "loyalty", "o-1")
    assert (effect["cause"], effect["id"]) == ("parcel-o-1", derived_id("parcel-o-1", "loyalty.grant", 0))
    (handling,) = cause["handled_by"]
    assert (handling["service"], handling["handler"], handling["outcome"]) == ("loyalty", "grant", "handled")
    (announced,) = [json.loads(record.value) for record in asyncio.run(read(broker, "saga.services"))]
    jsonschema.validate(announced, json.loads((SCHEMAS / "service.schema.json").read_text()))


def test_it_loses_and_doubles_nothing_when_it_is_killed(
    loyalty: list[str], broker: str, tmp_path: Path
) -> None:
    settings = {"SAGA_BOOTSTRAP_SERVERS": broker, "SAGA_INSTANCE": "loyalty-1"}
    service = Command(loyalty, settings, tmp_path / "loyalty.log")
    names = [f"o-{number}" for number in range(1_000)]
    try:
        service.start()
        until(lambda: "loyalty is running" in service.output(), WITHIN_SECONDS, what="the service runs")
        sending = threading.Thread(
            target=lambda: asyncio.run(send(broker, *(dispatched(name) for name in names)))
        )
        sending.start()
        until(lambda: granted(broker) >= 10, WITHIN_SECONDS, what="the first events")
        service.kill()
        service.start()
        until(lambda: granted(broker) >= 400, WITHIN_SECONDS, what="more events")
        service.kill()
        sending.join()
        service.start()
        until(lambda: granted(broker) >= len(names), WITHIN_SECONDS, what="all events")
    finally:
        print(service.output())
        service.end()

    found = asyncio.run(read(broker, "loyalty"))
    causes = sorted(dict(record.headers)["ce_causationid"].decode() for record in found)
    assert causes == sorted(f"parcel-{name}" for name in names)
    assert sorted(receipt["event"] for receipt in receipts(broker)) == causes


def test_repeats_strangers_and_what_is_broken(loyalty: list[str], broker: str, tmp_path: Path) -> None:
    service = Command(loyalty, {"SAGA_BOOTSTRAP_SERVERS": broker}, tmp_path / "loyalty.log")
    key, _, headers = dispatched("o-3")
    cut = (key, b'{"order_id": \xff', headers)
    bare = (b"o-4", b"no event", [("note", b"\xfe")])
    try:
        service.start()
        until(lambda: "loyalty is running" in service.output(), WITHIN_SECONDS, what="the service runs")
        stranger = other("o-2", ce_type="parcel.lost")
        asyncio.run(send(broker, dispatched("o-1"), dispatched("o-1"), stranger, cut, bare))
        until(lambda: len(receipts(broker)) >= 4, WITHIN_SECONDS, what="four receipts")
    finally:
        print(service.output())
        service.end()

    assert sorted((each["event"] or "", each["outcome"]) for each in receipts(broker)) == [
        ("", "dead-lettered"),
        ("parcel-o-1", "handled"),
        ("parcel-o-1", "ignored"),
        ("parcel-o-3", "dead-lettered"),
    ]
    assert len(asyncio.run(read(broker, "loyalty"))) == 1
    dead = {record.key: record for record in asyncio.run(read(broker, "saga.dlq.loyalty"))}
    assert set(dead) == {b"o-3", b"o-4"}
    assert (dead[b"o-3"].value, dead[b"o-4"].value) == (cut[1], bare[1])
    assert ("note", b"\xfe") in dead[b"o-4"].headers
    assert dict(dead[b"o-4"].headers)["__streams.errors.exception"] == b"NotAnEvent"


@pytest.mark.usefixtures("kafka", "loyalty")
def test_it_takes_part_in_the_demo() -> None:
    with demo("--node", "--rate", "20", "--seconds", "15") as running:
        running.until_shown("orders, inventory, payments, shipping, loyalty and a tracker are at work")
        running.until_shown("placed → reserved → charged → dispatched → granted")
        assert running.end() == 0, running.text
    summary = re.search(r"([\d,]+) orders: ([\d,]+) dispatched", running.text)
    assert summary, running.text
    placed, sent = (int(number.replace(",", "")) for number in summary.groups())
    assert sent > placed // 2
