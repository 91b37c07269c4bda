"""The demo's orders and the lines it shows of them."""

import re
from random import Random

import pytest

from saga.core.envelope import read_envelope
from saga.core.errors import MalformedRecord
from schemas.orders import OrderPlaced
from services.demo.chains import chain_line
from services.demo.mix import KINDS, Malformed, malformed, order
from services.inventory.handlers import LARGEST_QUANTITY
from tests.facts import CHARGED, DISPATCHED, GIVEN_UP, NOON_MS, PLACED, RESERVED, SERVICES, event
from tracker.core.fold import fold
from tracker.core.frame import Observation
from tracker.core.subscriptions import Subscriptions
from tracker.view.known import Known

SOME = 2_000


def test_the_kinds_of_orders_are_a_hundred_percent_and_most_go_well() -> None:
    assert sum(kind.percent for kind in KINDS) == 100
    assert next(kind for kind in KINDS if kind.name == "good").percent >= 70


def test_every_kind_of_order_is_among_some() -> None:
    dice = Random(1)
    orders = [order(number, dice) for number in range(SOME)]
    cards = {placed.card for placed in orders}
    assert cards == {kind.card for kind in KINDS}
    assert any(placed.lines[0].quantity > LARGEST_QUANTITY for placed in orders)
    assert len({placed.order_id for placed in orders}) == SOME


def test_no_service_can_handle_a_malformed_record() -> None:
    dice = Random(1)
    for _ in range(SOME):
        record = malformed(dice)
        assert not _is_an_order(record)


def _is_an_order(record: Malformed) -> bool:
    try:
        read_envelope(record.headers, record_time_ms=0)
        OrderPlaced.read(record.value)
    except MalformedRecord:
        return False
    return True


@pytest.mark.parametrize(
    ("facts", "events", "ending"),
    [
        (
            PLACED + RESERVED + CHARGED + DISPATCHED,
            "placed → reserved → charged (2nd attempt) → dispatched",
            "after 1.1 s",
        ),
        (
            PLACED + RESERVED + CHARGED + GIVEN_UP,
            "placed → reserved → charged (2nd attempt)",
            "dead-lettered by shipping (NoStreet) after 1.1 s",
        ),
        (PLACED + RESERVED, "placed → reserved", "retrying: payments, 2.0 s (retry 1)"),
    ],
    ids=["dispatched", "given up", "retrying"],
)
def test_the_chain_of_an_order_is_one_line(facts: list[Observation], events: str, ending: str) -> None:
    line = chain_line(fold(None, "s1", facts), Known(Subscriptions(SERVICES)), NOON_MS + 2_014).plain

    assert re.split(r" {2,}", line) == ["o-1042", events, ending]


def test_what_undoes_follows_a_backward_arrow_in_the_order_of_time() -> None:
    facts: list[Observation] = [
        *PLACED,
        event("e2", "stock.reserved", after_ms=14, cause="e1", source="inventory"),
        event("e3", "payment.declined", after_ms=20, cause="e2", source="payments"),
        event("c1", "stock.release", after_ms=30, cause="e2", source="tracker"),
        event("e4", "stock.released", after_ms=40, cause="c1", source="inventory"),
        event("e5", "order.cancelled", after_ms=50, cause="e3", source="tracker"),
    ]

    line = chain_line(fold(None, "s1", facts), Known(Subscriptions(SERVICES)), NOON_MS + 60).plain

    assert "placed → reserved → declined ↩ released → cancelled" in line
