"""Events and commands of the stock."""

from typing import Annotated

from saga import Event, Sensitive
from schemas.orders import OrderLine


class StockReserved(Event, topic="inventory", type="stock.reserved", key="order_id"):
    """All lines of the order are set aside."""

    order_id: str
    lines: list[OrderLine]
    amount: float
    card: Annotated[str, Sensitive()]


class StockRejected(Event, topic="inventory", type="stock.rejected", key="order_id"):
    """The stock does not have what was ordered."""

    order_id: str
    reason: str


class ReleaseStock(Event, topic="inventory", type="stock.release", key="order_id"):
    """Command: put back what was set aside for the order."""

    order_id: str
    lines: list[OrderLine]


class StockReleased(Event, topic="inventory", type="stock.released", key="order_id"):
    """What was set aside is back."""

    order_id: str
