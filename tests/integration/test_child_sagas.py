"""A service whose event begins another saga, and a tracker: each saga shows the other."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from saga import Event, Publisher, Service
from saga.core.ids import derived_id
from saga.local import LocalKafka
from saga.runtime.settings import KafkaSettings
from tests.integration.processes import Process
from tests.waiting import until

pytestmark = pytest.mark.kafka

COMMAND = Path(sys.executable).with_name("saga")
SECONDS_MAX = 90
OFFICE = dedent("""
    from saga import Context, Event, Service


    class MonthOver(Event, topic="months", type="month.over"):
        customer: str


    class BillSent(Event, topic="bills", type="bill.sent"):
        customer: str


    class OrderPlaced(Event, topic="orders", type="order.placed"):
        item: str


    class ParcelSent(Event, topic="parcels", type="parcel.sent"):
        item: str


    office = Service("office")


    @office.on(MonthOver, publishes=[OrderPlaced])
    async def renew(month: MonthOver, context: Context) -> BillSent:
        for item in ("coffee", "tea"):
            context.begin(OrderPlaced(item=item))
        return BillSent(customer=month.customer)


    @office.on(OrderPlaced)
    async def send(order: OrderPlaced) -> ParcelSent:
        return ParcelSent(item=order.item)
    """)
FLOW = dedent("""
    flow: order
    version: 1
    begins: order.placed
    ends:
      completed: parcel.sent
    """)


class MonthOver(Event, topic="months", type="month.over"):
    customer: str


async def test_parent_and_child_show_each_other(kafka: LocalKafka, tmp_path: Path) -> None:
    (tmp_path / "office.py").write_text(OFFICE)
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "order.yaml").write_text(FLOW)
    with LocalKafka() as broker:  # of the test's own: the tracker's topics have fixed names
        servers = broker.bootstrap_servers
        settings = {"SAGA_BOOTSTRAP_SERVERS": servers, "PYTHONPATH": str(tmp_path)}
        tracking = {"SAGA_STATE_DIR": str(tmp_path / "state"), "SAGA_FLOWS_DIR": str(flows)}
        tracker = Process(["tracker.runtime.worker"], settings | tracking, tmp_path / "tracker.log")
        service = Process(["saga.cli", "run", "office:office"], settings, tmp_path / "office.log")
        try:
            tracker.start()
            await asyncio.to_thread(_flow_is_followed, servers)
            service.start()
            async with Publisher(
                Service("calendar", publishes=[MonthOver]), KafkaSettings(bootstrap_servers=servers)
            ) as publisher:
                parent_id = await publisher.publish(MonthOver(customer="Ada"))
            await asyncio.to_thread(_look, servers, parent_id)
        finally:
            for process in (service, tracker):
                process.end()
                print(f"--- {process.output()[-5_000:]}")


def _look(servers: str, parent_id: str) -> None:
    parent = _told(servers, parent_id, lambda told: _statuses(told) == ["completed", "completed"])
    root, _ = parent["events"]
    children = [derived_id(root["id"], "office.renew", index) for index in range(2)]
    assert sorted(child["saga"] for child in parent["children"]) == sorted(children)
    assert {(child["event"], child["begins"], child["flow"]) for child in parent["children"]} == {
        (root["id"], "order.placed", "order")
    }
    assert (parent["status"], parent["parent"]) == ("completed", None)
    assert [event["type"] for event in parent["events"]] == ["month.over", "bill.sent"]

    child = _told(servers, children[0], lambda told: True)
    assert child["parent"] == {"saga": parent_id, "event": root["id"], "type": "month.over"}
    assert (child["flow"], child["status"], child["children"]) == ("order", "completed", [])
    assert [(event["type"], event["cause"], event["cause_unknown"]) for event in child["events"]] == [
        ("order.placed", None, False),
        ("parcel.sent", children[0], False),
    ]

    for child_id in children:
        assert re.search(rf"│  began order +…{child_id[-8:]}  completed\n", _shown(servers, parent_id))
        assert f"\nbegan by month.over of {parent_id}\n" in _shown(servers, child_id)


def _statuses(told: dict[str, Any]) -> list[str]:
    return [child["status"] for child in told["children"]]


def _flow_is_followed(servers: str) -> None:
    until(lambda: "order" in _run(servers, "flows").stdout, SECONDS_MAX, what="the flow is followed")


def _told(servers: str, saga_id: str, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What `saga show --json` says of a saga as soon as that is enough."""

    def look() -> dict[str, Any] | None:
        shown = _run(servers, "show", saga_id, "--json")
        print(shown.stdout, shown.stderr)  # for whoever reads why it was never enough
        told: dict[str, Any] | None = json.loads(shown.stdout) if shown.returncode == 0 else None
        return told if told is not None and enough(told) else None

    return until(look, SECONDS_MAX, what=f"enough is told of {saga_id}")


def _shown(servers: str, saga_id: str) -> str:
    told = _run(servers, "show", saga_id).stdout
    return "".join(f"{line.rstrip()}\n" for line in told.splitlines())


def _run(servers: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "160", "SAGA_BOOTSTRAP_SERVERS": servers}
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60, env=environment)
