"""Events and commands of payment."""

from saga import Event


class PaymentCharged(Event, topic="payments", type="payment.charged", key="order_id"):
    """The money is ours."""

    order_id: str
    amount: float
    payment_id: str


class PaymentDeclined(Event, topic="payments", type="payment.declined", key="order_id"):
    """The card was refused."""

    order_id: str
    reason: str


class RefundPayment(Event, topic="payments", type="payment.refund", key="order_id"):
    """Command: give the money back."""

    order_id: str
    amount: float
    payment_id: str


class PaymentRefunded(Event, topic="payments", type="payment.refunded", key="order_id"):
    """The money is back with the customer."""

    order_id: str
    payment_id: str
