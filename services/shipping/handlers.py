"""Shipping: sends paid parcels."""

import hashlib

from saga import Service
from schemas.payments import PaymentCharged
from schemas.shipping import ParcelDispatched

shipping = Service("shipping", description="Sends parcels")


@shipping.on(PaymentCharged)
async def dispatch(payment: PaymentCharged) -> ParcelDispatched:
    """Hand the parcel to the carrier."""
    code = hashlib.sha256(payment.payment_id.encode()).hexdigest()[:10].upper()
    return ParcelDispatched(order_id=payment.order_id, tracking_code=code)
