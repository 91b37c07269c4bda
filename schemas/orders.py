"""Events of ordering."""

from typing import Annotated

from pydantic import BaseModel, Field

from saga import Event, Sensitive


class OrderLine(BaseModel):
    """So many pieces of an article."""

    sku: str
    quantity: Annotated[int, Field(gt=0)]


class OrderPlaced(Event, topic="orders", type="order.placed", key="order_id"):
    """A customer has ordered; here an order saga begins."""

    order_id: str
    lines: list[OrderLine]
    amount: Annotated[float, Field(gt=0)]
    card: Annotated[str, Sensitive()]


class OrderCancelled(Event, topic="orders", type="order.cancelled", key="order_id"):
    """The order is off, and everything done for it is undone."""

    order_id: str
    reason: str
