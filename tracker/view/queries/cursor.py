"""Where a page ended, as a text that is good for asking for the next one and for nothing else."""

import base64
import binascii

from msgspec import DecodeError, Struct, ValidationError, json

from saga.core.errors import SagaError
from tracker.view.model.search import Cursor, Order


class UnusableCursor(SagaError):
    """This text is no cursor of such a list. Begin again without one."""


class _Place(Struct, frozen=True, array_like=True):
    order: Order
    at_ms: int
    id: str


def cursor_text(order: Order, cursor: Cursor) -> str:
    """The cursor for an address: letters, digits, - and _."""
    place = json.encode(_Place(order, cursor.at_ms, cursor.id))
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def read_cursor(order: Order, text: str) -> Cursor:
    """The place that a text names.

    Raises
    ------
    UnusableCursor
        It is no cursor, or one of a list in another order.
    """
    try:
        place = json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Place)
    except (ValueError, binascii.Error, DecodeError, ValidationError) as error:
        raise UnusableCursor("this is no cursor: take `next` of a page, or begin without one") from error
    if place.order is not order:
        raise UnusableCursor(f"this cursor is of a list in the order {place.order.value}: begin without one")
    if not -(2**63) <= place.at_ms < 2**63:
        raise UnusableCursor("this is no cursor: take `next` of a page, or begin without one")
    return Cursor(place.at_ms, place.id)
