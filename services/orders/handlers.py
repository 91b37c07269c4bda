"""Orders: where an order saga begins, and where it is called off."""

from saga import Service
from schemas.inventory import StockRejected
from schemas.orders import OrderCancelled, OrderPlaced

orders = Service("orders", publishes=[OrderPlaced], description="Takes orders and calls them off")


@orders.on(StockRejected)
async def call_off(rejected: StockRejected) -> OrderCancelled:
    """Nothing was reserved and nothing charged: the order is simply off."""
    return OrderCancelled(order_id=rejected.order_id, reason=rejected.reason)
