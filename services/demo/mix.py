"""Orders of every kind: most go well, and the others show what becomes of those that do not."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from schemas.orders import OrderLine, OrderPlaced

_GOOD_CARD = "4242-4242-4242-4242"
_SKUS = ("bolt-m6-zinc", "nut-m6-zinc", "washer-m6", "hinge-80mm", "anchor-8x60")
_TOO_MANY = 500


@dataclass(frozen=True)
class Kind:
    """So many of a hundred orders have this card (see `services.payments.provider`) and quantity."""

    name: str
    percent: float
    card: str = _GOOD_CARD
    too_many: bool = False


KINDS = (
    Kind("good", 80),
    Kind("declined", 6, card="4000-0000-0000-0002"),
    Kind("rejected", 4, too_many=True),
    Kind("slow", 3, card="4000-0000-0000-3220"),
    Kind("flaky", 6, card="4000-0000-0000-0119"),
    Kind("broken", 1, card="4000-0000-0000-0069"),
)

MALFORMED_PERCENT = 2.0
"""Records that are no orders at all, in percent of the orders."""


def order(number: int, dice: Random) -> OrderPlaced:
    """The order with this number, of a kind that the dice say."""
    [kind] = dice.choices(KINDS, [kind.percent for kind in KINDS])
    quantity = _TOO_MANY if kind.too_many else dice.randint(1, 20)
    return OrderPlaced(
        order_id=f"o-{number}",
        lines=[OrderLine(sku=sku, quantity=quantity) for sku in dice.sample(_SKUS, dice.randint(1, 3))],
        amount=round(dice.uniform(5, 500), 2),
        card=kind.card,
    )


@dataclass(frozen=True)
class Malformed:
    """Value and headers of a record that no service can handle."""

    value: bytes
    headers: Sequence[tuple[str, bytes]]


def malformed(dice: Random) -> Malformed:
    """Random bytes, an order cut short, one without the headers of an event, or one of the wrong shape."""
    whole = order(0, dice).write()
    # Ids too come from the dice, and look like no order's: a malformed event still is a saga of its own.
    headers = [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"malformed-%016x" % dice.getrandbits(64)),
        ("ce_source", b"unknown-shop"),
        ("ce_type", b"order.placed"),
    ]
    return dice.choice(
        [
            Malformed(dice.randbytes(40), []),
            Malformed(whole, []),
            Malformed(whole[: len(whole) // 2], headers),
            Malformed(json.dumps({"order_id": None, "lines": "none"}).encode(), headers),
        ]
    )
