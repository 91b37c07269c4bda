"""A kiosk whose machines break and are mended: `saga run tests.browser.kiosk:kiosk`.

A machine is broken as long as the folder that KIOSK_BROKEN names has a file of its name.
"""

import os
from pathlib import Path
from typing import Annotated

from saga import ONCE, Event, Sensitive, Service

FLOW = """
flow: coffee
version: 1
begins: coffee.ordered
ends:
  completed: coffee.served
  failed: coffee.cancelled
events:
  cup.taken: {by: kiosk, undo: cup.return, undone: cup.returned, undo_within: 30s, undo_attempts: 1}
compensate:
  when:
    - event: coffee.refused
  then:
    event: coffee.cancelled
    with: {order_id: first.order_id, reason: reason}
"""


class CoffeeOrdered(Event, topic="coffee", type="coffee.ordered", key="order_id"):
    """`wish` says what becomes of it: tea is refused, what is for later is never served."""

    order_id: str
    wish: str
    card: Annotated[str, Sensitive()]


class CupTaken(Event, topic="coffee", type="cup.taken", key="order_id"):
    order_id: str
    wish: str


class ReturnCup(Event, topic="coffee", type="cup.return", key="order_id"):
    order_id: str
    wish: str


class CupReturned(Event, topic="coffee", type="cup.returned", key="order_id"):
    order_id: str


class CoffeeServed(Event, topic="coffee", type="coffee.served", key="order_id"):
    order_id: str


class CoffeeRefused(Event, topic="coffee", type="coffee.refused", key="order_id"):
    order_id: str
    reason: str


class CoffeeCancelled(Event, topic="coffee", type="coffee.cancelled", key="order_id"):
    order_id: str
    reason: str


class MachineBroken(Exception):
    """Somebody has to mend it."""


counter = Service("counter", publishes=[CoffeeOrdered])
kiosk = Service("kiosk", publishes=[CoffeeCancelled], description="Coffee, and nothing else")


@kiosk.on(CoffeeOrdered, retry=ONCE)
async def take_cup(order: CoffeeOrdered) -> CupTaken:
    _use("grinder")
    return CupTaken(order_id=order.order_id, wish=order.wish)


@kiosk.on(CupTaken, retry=ONCE)
async def serve(cup: CupTaken) -> CoffeeServed | CoffeeRefused | None:
    match cup.wish:
        case "tea":
            return CoffeeRefused(order_id=cup.order_id, reason="this is a kiosk for coffee")
        case "later":
            return None
    return CoffeeServed(order_id=cup.order_id)


@kiosk.on(ReturnCup, retry=ONCE)
async def return_cup(command: ReturnCup) -> CupReturned:
    _use("dishwasher")
    return CupReturned(order_id=command.order_id)


def _use(machine: str) -> None:
    if (Path(os.environ["KIOSK_BROKEN"]) / machine).exists():
        raise MachineBroken(f"the {machine} is broken")
