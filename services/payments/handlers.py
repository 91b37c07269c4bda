"""Payments: charges cards through a payment provider, and refunds."""

from saga import Context, Retry, Service
from schemas.inventory import StockReserved
from schemas.payments import PaymentCharged, PaymentDeclined, PaymentRefunded, RefundPayment
from services.payments.provider import CardRefused, Provider

payments = Service("payments", description="Charges and refunds cards")

provider = Provider()


@payments.on(StockReserved, retry=Retry(attempts=5, delays=["100ms", "500ms", "5s"]), timeout="5s")
async def charge(reserved: StockReserved, context: Context) -> PaymentCharged | PaymentDeclined:
    """Charge the card once, however often this runs: the provider knows the idempotency key."""
    try:
        payment_id = await provider.charge(
            reserved.card, reserved.amount, idempotency_key=context.idempotency_key
        )
    except CardRefused as refusal:
        return PaymentDeclined(order_id=reserved.order_id, reason=str(refusal))
    return PaymentCharged(order_id=reserved.order_id, amount=reserved.amount, payment_id=payment_id)


@payments.on(RefundPayment)
async def refund(command: RefundPayment, context: Context) -> PaymentRefunded:
    """Give the money back."""
    await provider.refund(command.payment_id, command.amount, idempotency_key=context.idempotency_key)
    return PaymentRefunded(order_id=command.order_id, payment_id=command.payment_id)
