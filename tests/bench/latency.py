"""The order flow at light load: from placing an order to a reader that sees its parcel dispatched."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from statistics import quantiles

from saga.core.service import Guarantee
from saga.runtime.kafka import AIOKafkaProducer, Topic, ensure_topics
from saga.runtime.outbox import Outbox
from saga.runtime.publisher import Publisher
from saga.runtime.settings import KafkaSettings
from schemas.shipping import ParcelDispatched
from services.orders.handlers import orders
from tests.bench import fleet, sample
from tests.bench.contest import ENDLESS, Entrant, Heat
from tests.bench.row import Row

HOPS = 3
ORDERS = 90
WARM_UP = 10
PAUSE_SECONDS = 0.1
"""Between our order and the peer's, and again: five a second of each, never at the same time."""

PEERS: dict[Guarantee, str] = {
    "exactly-once": "tests.bench.loops:transactional_send",
    "at-least-once": "tests.bench.loops:at_least_once",
}

Publish = Callable[[int], Awaitable[object]]


class Flow:
    """One of the two that are compared: how an order is placed, and where its end is seen."""

    def __init__(self, publish: Publish, ends: fleet.Arrivals) -> None:
        self._publish = publish
        self._ends = ends
        self._placed: list[float] = []

    async def place(self, number: int) -> None:
        self._placed.append(time.perf_counter())
        await self._publish(number)

    async def seen(self, orders: int) -> None:
        await self._ends.until(orders, "parcels")

    async def latencies(self) -> dict[str, float]:
        """p50, p95 and p99 in milliseconds of all orders but those that warmed up."""
        await self.seen(len(self._placed))
        taken = [self._ends[sample.order_id(number)] - placed for number, placed in enumerate(self._placed)]
        cuts = quantiles(taken[WARM_UP:], n=100, method="inclusive")
        return {f"p{percent}": round(cuts[percent - 1] * 1000, 1) for percent in (50, 95, 99)}


async def run(bootstrap_servers: str) -> Row:
    ours, peers = {}, {}
    for guarantee in PEERS:
        ours[guarantee], peers[guarantee] = await _measure(bootstrap_servers, guarantee)
    return Row(
        name="latency",
        unit="ms",
        ours=ours["exactly-once"],
        peers={f"three bare aiokafka hops, {guarantee}": figure for guarantee, figure in peers.items()},
        ratio=peers["exactly-once"]["p50"] / ours["exactly-once"]["p50"],
        goal="exactly-once 12/25/40, at-least-once 5/8/12",
        runs=1,
        extra={"ours_at_least_once": ours["at-least-once"]},
    )


async def _measure(bootstrap_servers: str, guarantee: Guarantee) -> tuple[dict[str, float], dict[str, float]]:
    """Ours and the peer's, in turn, over the same seconds."""
    async with (
        fleet.fleet(bootstrap_servers, guarantee),
        _example(bootstrap_servers) as ours,
        _bare(bootstrap_servers, guarantee) as bare,
    ):
        for number in range(WARM_UP + ORDERS):
            for flow in (ours, bare):
                await flow.place(number)
                await asyncio.sleep(PAUSE_SECONDS)
            if number == 0:
                await asyncio.gather(ours.seen(1), bare.seen(1))  # all processes are at work
        return await ours.latencies(), await bare.latencies()


@asynccontextmanager
async def _example(bootstrap_servers: str) -> AsyncIterator[Flow]:
    topic = Topic(ParcelDispatched.declared.topic)
    async with (
        fleet.Arrivals.on(bootstrap_servers, topic, fleet.record_key) as parcels,
        Publisher(orders, KafkaSettings(bootstrap_servers=bootstrap_servers)) as publisher,
    ):
        yield Flow(lambda number: publisher.publish(fleet.order(number)), parcels)


@asynccontextmanager
async def _bare(bootstrap_servers: str, guarantee: Guarantee) -> AsyncIterator[Flow]:
    """Three loops in three processes, each from one topic to the next."""
    topics = [Topic(f"bench.{guarantee}.{number}") for number in range(HOPS + 1)]
    await ensure_topics(KafkaSettings(bootstrap_servers=bootstrap_servers), topics)
    async with AsyncExitStack() as stack:
        for source, target in pairwise(topics):
            entrant = await Entrant.start(PEERS[guarantee])
            stack.push_async_callback(entrant.end)
            await entrant.begin(Heat(bootstrap_servers, source.name, source.name, target.name, ENDLESS))
        arrivals = fleet.Arrivals.on(bootstrap_servers, topics[-1], fleet.record_key)
        ends = await stack.enter_async_context(arrivals)
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, enable_idempotence=True)
        outbox = Outbox(await stack.enter_async_context(producer))

        async def publish(number: int) -> None:
            await asyncio.gather(*await outbox.send([sample.record(topics[0].name, number)]))

        yield Flow(publish, ends)
