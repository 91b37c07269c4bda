"""Inventory: sets goods aside, and puts them back."""

from saga import Retry, Service
from schemas.inventory import ReleaseStock, StockRejected, StockReleased, StockReserved
from schemas.orders import OrderPlaced

inventory = Service("inventory", description="Sets goods aside for orders")

LARGEST_QUANTITY = 100


@inventory.on(OrderPlaced, retry=Retry(attempts=5, delays=["100ms", "1s", "10s"]))
async def reserve(order: OrderPlaced) -> StockReserved | StockRejected:
    """Set every line aside, or none."""
    for line in order.lines:
        if line.quantity > LARGEST_QUANTITY:
            return StockRejected(order_id=order.order_id, reason=f"not enough {line.sku}")
    return StockReserved(order_id=order.order_id, lines=order.lines, amount=order.amount, card=order.card)


@inventory.on(ReleaseStock)
async def release(command: ReleaseStock) -> StockReleased:
    """Put back what was set aside."""
    return StockReleased(order_id=command.order_id)
