"""Which ways sagas went."""

from rich.console import Console

from tests.facts import CHARGED, DISPATCHED, PLACED, RESERVED, event
from tracker.cli.variants import variants_table
from tracker.core.discovery import Trace, Variants, trace
from tracker.core.fold import fold

DONE = PLACED + RESERVED + CHARGED + DISPATCHED


def test_a_trace_is_the_types_by_time() -> None:
    went = trace(fold(None, "s", DONE[::-1]))

    assert went.types == ("order.placed", "stock.reserved", "payment.charged", "parcel.dispatched")
    assert went.took_ms == 1_105


def test_a_run_of_one_type_is_folded_and_an_effect_of_the_same_moment_follows_its_cause() -> None:
    facts = [event("z", "begun"), event("a", "part", cause="z"), event("b", "part", cause="z")]

    assert trace(fold(None, "s", facts)).types == ("begun", "part")


def test_the_most_frequent_variant_comes_first() -> None:
    found = Variants()
    for went in (Trace(("a",), 5), Trace(("a", "b"), 100), Trace(("a", "b"), 102), Trace(("a", "b"), 300)):
        found.add(went)
    first, second = found.listed()

    assert (first.types, first.sagas, first.share) == (("a", "b"), 3, 0.75)
    assert abs(first.p50_ms - 102) <= 1.02
    assert second.types == ("a",)

    console = Console(width=100, record=True)
    console.print(variants_table([first, second]))
    # 103 ms for 102: within 1 %.
    assert "    3  75.0%  103 ms  a → b" in console.export_text()
