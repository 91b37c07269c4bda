"""Events of shipping."""

from saga import Event


class ParcelDispatched(Event, topic="shipping", type="parcel.dispatched", key="order_id"):
    """The parcel has left the house: the point of no return."""

    order_id: str
    tracking_code: str
