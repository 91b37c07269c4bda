"""The whole system on one machine: order sagas per second, completed and tracked."""

import time
from statistics import median
from typing import Any, NamedTuple

from saga.runtime.kafka import Topic
from saga.runtime.publisher import Publisher
from saga.runtime.settings import KafkaSettings
from schemas.inventory import StockReserved
from schemas.orders import OrderPlaced
from schemas.payments import PaymentCharged
from schemas.shipping import ParcelDispatched
from services.orders.handlers import orders
from tests.bench.fleet import Arrivals, fleet, order, record_key
from tests.bench.row import Row
from tracker.core.clock import CLOCK_ROW
from tracker.core.saga import SAGAS_CHANGELOG_TOPIC, decode_saga

ORDERS = 20_000
WARM_UP = 1_000
ROUNDS = 3
_TOGETHER = 500
_TYPES = {model.declared.name for model in (OrderPlaced, StockReserved, PaymentCharged, ParcelDispatched)}
_PARCELS = Topic(ParcelDispatched.declared.topic)
_SAGAS = Topic(SAGAS_CHANGELOG_TOPIC, config={"cleanup.policy": "compact"})


class Rates(NamedTuple):
    dispatched: float
    tracked: float


async def run(bootstrap_servers: str) -> Row:
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    async with (
        fleet(bootstrap_servers, "exactly-once"),
        Arrivals.on(bootstrap_servers, _PARCELS, record_key) as parcels,
        Arrivals.on(bootstrap_servers, _SAGAS, _complete) as sagas,
        Publisher(orders, settings) as publisher,
    ):
        await _round(publisher, parcels, sagas, WARM_UP)
        rounds = [await _round(publisher, parcels, sagas, ORDERS) for _ in range(ROUNDS)]
    return Row(
        name="system",
        unit="sagas/s",
        ours=median(rates.tracked for rates in rounds),
        peers={},
        ratio=None,
        goal="4,000 tracked, on 2 cores",
        runs=ROUNDS,
        extra={"dispatched": median(rates.dispatched for rates in rounds)},
    )


async def _round(publisher: Publisher, parcels: Arrivals, sagas: Arrivals, count: int) -> Rates:
    """From the first order to the last parcel, and to the last saga in the table."""
    parcels.clear()
    sagas.clear()
    began = time.perf_counter()
    for first in range(0, count, _TOGETHER):
        await publisher.publish_all([order(number) for number in range(first, min(count, first + _TOGETHER))])
    await parcels.until(count, "parcels")
    await sagas.until(count, "sagas")
    return Rates(count / (parcels.last - began), count / (sagas.last - began))


def _complete(record: Any) -> str | None:
    """The id of a saga of which the tracker knows all events."""
    if record.value is None or record.key == CLOCK_ROW.encode():
        return None
    saga = decode_saga(record.value)
    seen = {step.seen.type for step in saga.steps.values() if step.seen is not None}
    return saga.id if seen >= _TYPES else None
