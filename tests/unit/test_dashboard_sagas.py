"""What the address of the list of sagas asks for, and how the list says so."""

import pytest

from tracker.core.contract.expected import Edge
from tracker.dashboard.node import text_of
from tracker.dashboard.pages.sagas.filters import filters
from tracker.dashboard.pages.sagas.search import wanted_of
from tracker.dashboard.place import Place, href, place_of
from tracker.view.known import Known

VARIANT = "0123456789abcdef"
EDGE = Edge("order, placed", "till", "50 % paid")


def test_an_edge_a_variant_and_when_they_ended_are_asked_for() -> None:
    asked = {"edge": EDGE.id, "variant": VARIANT, "ended-from": "1970-01-02T00:00:00.000Z"}
    place = place_of(href("/sagas", asked))
    wanted, _ = wanted_of(place)

    assert (wanted.edge, wanted.variant, wanted.ended_from_ms) == (EDGE, VARIANT, 86_400_000)
    assert f"edge {EDGE.cause} → till → {EDGE.effect} ✕" in told(place)
    assert "variant order.placed → order.closed ✕" in told(place, "order.placed", "order.closed")
    # As long as no saga tells what it is.
    assert f"variant {VARIANT} ✕" in told(place)


def told(place: Place, *variant: str) -> str:
    return " ".join(text_of(filters(place, Known(), variant)).split())


@pytest.mark.parametrize(
    "asked",
    ["edge=a,b", "edge=a", "variant=x", f"variant={VARIANT.upper()}", f"variant={VARIANT}0", "ended-from=x"],
)
def test_what_is_none_is_refused(asked: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        wanted_of(place_of(f"/sagas?{asked}"))
