"""Which ways sagas went."""

from rich.console import Console

from tests.facts import CHARGED, DISPATCHED, PLACED, RESERVED, event
from tracker.cli.variants import variants_table
from tracker.core.discovery import DirectlyFollows, Trace, Variants, in_order, trace, variant_id
from tracker.core.fold import fold
from tracker.view.documents.flow import variants_document

DONE = PLACED + RESERVED + CHARGED + DISPATCHED


def test_a_trace_is_the_types_by_time() -> None:
    went = trace(fold(None, "s", DONE[::-1]))

    assert went.types == ("order.placed", "stock.reserved", "payment.charged", "parcel.dispatched")
    assert went.took_ms == 1_105


def test_an_effect_of_the_same_moment_follows_its_cause_and_repeats_count() -> None:
    facts = [event("z", "begun"), event("a", "part", cause="z"), event("b", "part", cause="z")]

    assert trace(fold(None, "s", facts)).types == ("begun", "part", "part")


def test_the_most_frequent_variant_comes_first() -> None:
    found = Variants()
    often = ("a", "b", "b", "b", "a")
    for went in (Trace(("a",), 5), Trace(often, 100), Trace(often, 102), Trace(often, 300)):
        found.add(went)
    first, second = found.listed()

    assert (first.types, first.sagas, first.share) == (often, 3, 0.75)
    assert abs(first.p50_ms - 102) <= 1.02
    assert second.types == ("a",)

    console = Console(width=100, record=True)
    console.print(variants_table(variants_document("x", found, None).variants))
    # 103 ms for 102: within 1 %.
    assert f"    3  75.0%  103 ms  {variant_id(often)}  a → b x3 → a" in console.export_text()


def test_the_id_of_a_variant_never_changes() -> None:
    # It is in the addresses that people keep.
    assert variant_id(("order.placed", "stock.reserved")) == "70bb113ad9255ec4"


def test_directly_follows_is_by_time_and_folds_nothing() -> None:
    facts = [
        event("a", "begun"),
        event("z", "part", after_ms=5, cause="a", offset=1),
        event("b", "part", after_ms=5, cause="a", offset=2),
        event("c", "done", after_ms=9, cause="z", offset=3),
    ]
    saga = fold(None, "s", facts[::-1])
    found = DirectlyFollows()
    found.add([seen.type for seen in in_order(saga)])

    assert dict(found.pairs.items()) == {("begun", "part"): 1, ("part", "part"): 1, ("part", "done"): 1}
    assert [seen.offset for seen in in_order(saga)] == [0, 1, 2, 3]
    assert (found.first["begun"], found.last["done"]) == (1, 1)
