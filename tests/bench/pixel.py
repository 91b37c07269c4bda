"""From an event's record in Kafka to the browser that shows it, at light load and at 2,000 events/s.

A dashboard with its projector, and a headless Chromium with two pages open: one saga, whose events come one
after another, and a list of sagas, to which others come. An observer in the page notes the wall clock of
the frame in which a name is drawn for the first time, and the machine's only clock is also that of the
record's timestamp.
"""

import asyncio
import re
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import NamedTuple

from msgspec import json
from playwright.async_api import Browser, Page, async_playwright
from uuid_utils import uuid7

from saga.core.envelope import Envelope
from saga.core.receipt import SERVICES_TOPIC, ServiceAnnouncement, Subscription
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.settings import KafkaSettings
from tests.bench import orders
from tests.bench.row import Row
from tests.bench.tracker import LOOK_SECONDS, Worker, worker
from tests.browser.chromium import ARGUMENTS, MISSING, chromium_path
from tests.integration.processes import Process

LIGHT, FULL = 50, 2_000
SECONDS = 75
WARM_UP_SECONDS = 10
PAUSE_SECONDS = 0.3, 0.7
"""Between two probes: no beat that pages could be in step with."""

SAGA_EVENTS = 15
SEEN_SECONDS_MAX = 60
_TOPIC = "pixel.probes"
_BEGUN, _LISTED = "probe.begun", "probe.listed"
_PROBES = ServiceAnnouncement("probes", [Subscription(name, _TOPIC, "see") for name in (_BEGUN, _LISTED)], [])

# Noted in the frame in which it is drawn, not when the page heard of it.
_OBSERVER = """
// A page that has lost its connection for seconds loads itself anew.
window.seen = JSON.parse(sessionStorage.getItem("seen") ?? "{}");
const note = () => {
  const now = Date.now();
  for (const [name] of document.body.textContent.matchAll(/probe-\\d{6}/g)) window.seen[name] ??= now;
  sessionStorage.setItem("seen", JSON.stringify(window.seen));
};
document.addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => requestAnimationFrame(note))
    .observe(document.body, { childList: true, subtree: true, characterData: true });
});
"""


class Probes:
    """What is published to be seen: its name, and when its record was written."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._names = (f"probe-{number:06}" for number in count())

    async def saga(self) -> str:
        """Begin a saga that events are to come to; its id."""
        saga = str(uuid7())
        await self._publish(Envelope(saga, _BEGUN, "probes", saga, _now_ms()), "opened")
        return saga

    async def event(self, saga: str) -> tuple[str, int]:
        """One more event of this saga, of a type of its own."""
        name = next(self._names)
        return name, await self._publish(
            Envelope(str(uuid7()), name, "probes", saga, _now_ms(), cause=saga), "opened"
        )

    async def listed(self) -> tuple[str, int]:
        """One more saga, with a business key of its own."""
        name, saga = next(self._names), str(uuid7())
        return name, await self._publish(Envelope(saga, _LISTED, "probes", saga, _now_ms()), name)

    async def _publish(self, envelope: Envelope, key: str) -> int:
        await self._producer.send_and_wait(
            _TOPIC, b"{}", key=key.encode(), headers=envelope.headers(), timestamp_ms=envelope.time_ms
        )
        return envelope.time_ms


class Delays(NamedTuple):
    """p50, p95 and p99 in milliseconds on both pages, and how many events a second there were besides."""

    saga: dict[str, float]
    listed: dict[str, float]
    offered: float


async def run(bootstrap_servers: str) -> Row:
    path = chromium_path()
    if path is None:
        sys.exit(MISSING)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        process = await stack.enter_async_context(worker(bootstrap_servers, folder))
        url = await stack.enter_async_context(_dashboard(bootstrap_servers, Path(folder)))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        stack.push_async_callback(browser.close)
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
        probes = Probes(await stack.enter_async_context(producer))
        await _announce(bootstrap_servers, producer)
        await process.line(_TOPIC)
        light = await _measure(bootstrap_servers, process, probes, browser, url, LIGHT)
        full = await _measure(bootstrap_servers, process, probes, browser, url, FULL)
    return Row(
        name="pixel",
        unit="ms",
        ours=full.saga,
        peers={},
        ratio=None,
        goal=f"p95 1,500 at {FULL:,} events/s",
        runs=1,
        extra={
            "in the list of sagas": full.listed,
            f"at {LIGHT} events/s": light.saga,
            f"in the list, at {LIGHT} events/s": light.listed,
            "offered_per_second": {"events": full.offered},
        },
    )


async def _measure(
    bootstrap_servers: str, process: Worker, probes: Probes, browser: Browser, url: str, rate: int
) -> Delays:
    """Publish probes for as long as so many other events a second come as well."""
    prefix, chance = f"pixel.{rate}", Random(rate)
    await orders.topics_made(bootstrap_servers, prefix)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        key, announced = orders.announcement(prefix)
        await producer.send_and_wait(SERVICES_TOPIC, json.encode(announced), key=key)
        await process.line(f"{prefix}.")
    sagas, listed = await browser.new_page(), await browser.new_page()
    for page in (sagas, listed):
        await page.add_init_script(_OBSERVER)
    await listed.goto(f"{url}/sagas?event={_LISTED}&order=newest")
    command = [sys.executable, "-m", "tests.bench.steady", bootstrap_servers, prefix, rate, SECONDS]
    sender = await asyncio.create_subprocess_exec(*map(str, command), stdout=PIPE)
    await asyncio.sleep(WARM_UP_SECONDS)
    of_saga: list[float] = []
    in_list: dict[str, int] = {}
    while sender.returncode is None:
        saga = await probes.saga()
        await sagas.goto(f"{url}/sagas/{saga}")
        await sagas.locator("#timeline", has_text=_BEGUN).wait_for()
        published: dict[str, int] = {}
        for _ in range(SAGA_EVENTS):
            await asyncio.sleep(chance.uniform(*PAUSE_SECONDS))
            name, at_ms = await probes.event(saga)
            published[name] = at_ms
            name, at_ms = await probes.listed()
            in_list[name] = at_ms
        of_saga += await _delays(sagas, published)
    assert sender.stdout is not None
    sent, took_ms = map(int, (await sender.stdout.read()).split())
    found = Delays(_cuts(of_saga), _cuts(await _delays(listed, in_list)), sent / took_ms * 1000)
    await sagas.close()
    await listed.close()
    return found


async def _delays(page: Page, published: dict[str, int]) -> list[float]:
    """How long it took until each of these was drawn, once all are."""
    await page.wait_for_function(
        "(names) => names.every((name) => window.seen[name])",
        arg=list(published),
        timeout=SEEN_SECONDS_MAX * 1000,
    )
    seen: dict[str, int] = await page.evaluate("window.seen")
    return [seen[name] - at_ms for name, at_ms in published.items()]


def _cuts(delays: list[float]) -> dict[str, float]:
    cuts = quantiles(delays, n=100, method="inclusive")
    return {f"p{percent}": round(cuts[percent - 1], 1) for percent in (50, 95, 99)} | {"samples": len(delays)}


@asynccontextmanager
async def _dashboard(bootstrap_servers: str, folder: Path) -> AsyncIterator[str]:
    """`saga dashboard` with its own projector; its address."""
    settings = {
        "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "SAGA_DATABASE": f"sqlite:///{folder / 'sagas.db'}",
        "SAGA_ACCESS_USERS_FILE": str(folder / "users"),
    }
    process = Process(["saga.cli", "dashboard", "--port", "0"], settings, folder / "dashboard.log")
    process.start()
    try:
        yield await _address(process)
    finally:
        process.stop()


async def _address(process: Process) -> str:
    async with asyncio.timeout(SEEN_SECONDS_MAX):
        while (found := re.search(r"http://\S+", process.output())) is None:
            assert process.running.poll() is None, process.output()
            await asyncio.sleep(LOOK_SECONDS)
        return found.group()


async def _announce(bootstrap_servers: str, producer: AIOKafkaProducer) -> None:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    await ensure_topics(settings, [Topic(_TOPIC, 1)])
    await producer.send_and_wait(SERVICES_TOPIC, json.encode(_PROBES), key=_PROBES.service.encode())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
