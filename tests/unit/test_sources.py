"""Which topics the collector reads."""

import pytest

from saga.core.errors import DeclarationError
from tracker.core.sources import TopicSelection, business_topics

EXISTING = [
    "orders", "orders.v2", "payments", "saga.steps", "saga.receipts", "saga-tracker-sagas-changelog",
    "__consumer_offsets",
]  # fmt: skip


@pytest.mark.parametrize(
    ("announced", "chosen", "expected"),
    [
        ([], "", set()),
        (["orders", "not-made-yet"], "", {"orders"}),
        (["saga.steps", "saga-tracker-sagas-changelog", "__consumer_offsets"], "", set()),
        ([], "orders, payments", {"orders", "payments"}),
        ([], "orders.v2", {"orders.v2"}),
        ([], "order.*", {"orders", "orders.v2"}),
        ([], ".*", {"orders", "orders.v2", "payments"}),
        (["payments"], r"orders\.v\d", {"payments", "orders.v2"}),
    ],
)
def test_business_topics(announced: list[str], chosen: str, expected: set[str]) -> None:
    assert business_topics(EXISTING, announced, TopicSelection(chosen)) == expected


def test_what_is_neither_names_nor_an_expression_is_refused() -> None:
    with pytest.raises(DeclarationError, match="SAGA_TRACKER_TOPICS"):
        TopicSelection("orders(")
