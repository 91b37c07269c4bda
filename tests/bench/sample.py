"""The events of the hop benchmark: an order in, a reservation out, 300 bytes of JSON each."""

from uuid_utils import uuid7

from saga import Event
from saga.core.envelope import Envelope
from saga.core.outcome import Output

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SOURCE_TOPIC = "bench.orders"
TARGET_TOPIC = "bench.inventory"


class SampleOrder(Event, topic=SOURCE_TOPIC, type="bench.order.placed", key="order_id"):
    order_id: str
    customer: str
    street: str
    city: str
    skus: list[str]
    quantities: list[int]
    amount: float
    note: str


class SampleReserved(SampleOrder, topic=TARGET_TOPIC, type="bench.stock.reserved", key="order_id"):
    pass


def order_id(number: int) -> str:
    return f"o-{number:08}"


def order(number: int) -> SampleOrder:
    return SampleOrder(
        order_id=order_id(number),
        customer=f"customer-{number % 997:04}",
        street="Lindenstraße 5, rear building, second floor",
        city="Berlin",
        skus=["bolt-m6-zinc", "nut-m6-zinc", "washer-6"],
        quantities=[100, 100, 200],
        amount=41.5,
        note="ring twice, the bell sticks; leave with the neighbours",
    )


def reserve(placed: SampleOrder) -> SampleReserved:
    """What the handler of every contestant does."""
    return SampleReserved.model_construct(**placed.__dict__)


def record(topic: str, number: int) -> Output:
    """An order as a CloudEvent with nine headers, as a saga service would have published it."""
    event = order(number)
    saga = str(uuid7())
    envelope = Envelope(
        str(uuid7()),
        event.declared.name,
        "web",
        saga,
        1_760_000_000_000 + number,
        cause=saga,
        traceparent=TRACEPARENT,
    )
    return Output(topic, event.order_id.encode(), event.write(), envelope.headers())
