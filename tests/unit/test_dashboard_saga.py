"""What the page of a saga is made of, from what the queries answer."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

import pytest
from msgspec import json

from saga.core.errors import DeclarationError
from tests import play
from tests.facts import NOON_MS
from tests.play import Play
from tests.unit.test_flow_views import KNOWN, TIMED, completed, late, of, open_, stuck
from tracker.dashboard.drawing.histogram import Column, histogram
from tracker.dashboard.node import Attributes, Node, text_of
from tracker.dashboard.pages.saga.actions import actions, undoes
from tracker.dashboard.pages.saga.compensation import compensation_panel
from tracker.dashboard.pages.saga.event import drawer
from tracker.dashboard.pages.saga.timeline import timeline_panel
from tracker.dashboard.place import Place
from tracker.dashboard.settings import PageSettings
from tracker.dashboard.trace import trace_link
from tracker.view.documents.payload import Place as Stands
from tracker.view.documents.payload import payload_document
from tracker.view.documents.saga import SagaDocument, saga_document
from tracker.view.known import Known
from tracker.view.queries.sagas import saga_plan

Element: TypeAlias = tuple[str, Attributes, list[Node]]
PLACE = Place("/sagas/s-1", {})
TRACE = "0af7651916cd43dd8448eb211c80319c"


def document(saga: Play, after_ms: int = 600, known: Known = KNOWN) -> SagaDocument:
    return saga_document(of(saga), known, NOON_MS + after_ms)


def every(node: Node, classes: str) -> Iterator[Element]:
    """All elements of this class."""
    if not isinstance(node, str):
        if classes in str(node[1].get("class", "")).split():
            yield node
        for child in node[2]:
            yield from every(child, classes)


def below(element: Element) -> Iterator[Element]:
    return (each for each in element[2] if not isinstance(each, str))


def timeline(saga: Play, after_ms: int) -> Node:
    return timeline_panel(document(saga, after_ms), PLACE, NOON_MS + after_ms)


@pytest.mark.parametrize(
    ("saga", "after_ms", "classes", "said"),
    [
        (completed(), 9_000, "ok", "met after"),
        (late(), 9_000, "late", "late by 1.0 s"),
        (open_(), 9_000, "late", ""),
        (open_(), 600, "ok", ""),
    ],
)
def test_a_clock_is_a_bar_from_its_start_to_its_end(
    saga: Play, after_ms: int, classes: str, said: str
) -> None:
    lines = {text_of(line[2][0]).split()[0]: line for line in every(timeline(saga, after_ms), "line")}

    (bar,) = every(lines["charge-fast"], "bar")
    assert classes in str(bar[1]["class"])
    assert said in text_of(lines["charge-fast"])
    assert "within 5.0 s" in text_of(lines["charge-fast"])


def test_what_would_be_undone_is_told_in_its_order_before_it_is() -> None:
    saga = document(saga_of_three())
    plan = saga_plan(of(saga_of_three()), KNOWN, NOON_MS + 600)

    assert undoes(saga)
    told = " ".join(text_of(node) for node in actions(saga, plan))
    first, second = told.index("↩ payment.refund"), told.index("↩ stock.release")
    assert first < second < told.index("in the end")
    assert told.index("What would be undone, one after another") < first


def saga_of_three() -> Play:
    saga = Play(TIMED)
    saga.tell(play.placed(), play.reserved(10), play.charged(20), now=50)
    return saga


def test_a_plan_says_why_nothing_is_undone() -> None:
    saga = document(open_())
    told = " ".join(text_of(node) for node in actions(saga, None))

    assert "nothing says how to undo it" in told


def test_who_may_not_act_sees_no_buttons_of_an_undo() -> None:
    saga = document(stuck(), 5_000)

    seen = compensation_panel(saga, may_act=True), compensation_panel(saga, may_act=False)
    assert ["Done by hand" in text_of(each) for each in seen if each is not None] == [True, False]


def shown_of(value: bytes, schemas: list[dict[str, object]], *, may_unmask: bool, template: str = "") -> str:
    event = document(completed()).events[0]
    stands = Stands("s-1", event.id, event.type or "", 1, "orders", 0, 7)
    payload = payload_document(stands, value, schemas, trace=TRACE)
    return json.encode(drawer("s-1", event, payload, PLACE, template, may_unmask=may_unmask)).decode()


CARD: dict[str, object] = {"properties": {"card": {"type": "string", "x-sensitive": True}, "id": {}}}


@pytest.mark.parametrize("may_unmask", [True, False])
def test_a_payload_is_masked_and_only_who_may_is_offered_more(may_unmask: bool) -> None:
    told = shown_of(b'{"card": "4242", "id": 1}', [CARD], may_unmask=may_unmask)

    assert "4242" not in told
    assert ("payload unmask" in told) is may_unmask


def test_what_is_not_masked_needs_no_unmasking() -> None:
    assert "payload unmask" not in shown_of(b'{"id": 1}', [CARD], may_unmask=True)


def test_a_trace_is_linked_where_the_settings_say() -> None:
    assert f"https://traces/{TRACE}" in shown_of(
        b"{}", [CARD], may_unmask=False, template="https://traces/{trace_id}"
    )
    assert "https://traces" not in shown_of(b"{}", [CARD], may_unmask=False)
    assert trace_link("https://traces/{trace_id}", "s-1") == []
    (link,) = trace_link("https://traces/?saga={saga_id}", "a b&c")
    assert isinstance(link, tuple)
    assert link[1]["href"] == "https://traces/?saga=a%20b%26c"


@pytest.mark.parametrize("url", ["javascript:{trace_id}", "https://traces/", "traces"])
def test_what_is_no_template_of_a_trace_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(DeclarationError, match=r"SAGA_TRACE_URL.*no URL with"):
        PageSettings(trace_url=url)


def test_the_edges_of_a_histogram_do_not_stand_upon_each_other() -> None:
    for count in range(1, 70):
        columns = [Column(f"{index} ms", index + 1, "") for index in range(count)]
        drawn = histogram(columns, "end", "how long")
        places = [float(str(each[1]["style"])[4:-1]) for axis in every(drawn, "axis") for each in below(axis)]
        assert places[-1] == 100
        assert all(b - a >= 12 for a, b in pairwise(places)), (count, places)
