"""What pages consist of: only known elements, links to us or another site, and texts that stay texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.dashboard.node import div, h, is_link, span, text_of
from tracker.dashboard.place import Place, href, path_to, place_of

EVIL = '<script>alert("x")</script>'


def test_what_comes_from_an_event_is_a_text_and_never_an_element() -> None:
    assert div("a", EVIL) == ("div", {"class": "a"}, [EVIL])
    assert text_of(div("", span("", "one"), [" two"], None)) == "one  two"


@pytest.mark.parametrize("name", ["onclick", "srcdoc", "innerHTML", "src"])
def test_attributes_that_could_run_something_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no attribute"):
        h("div", {name: "x"})


@pytest.mark.parametrize("tag", ["script", "iframe", "style", "object", "foreignObject"])
def test_elements_that_could_run_something_are_refused(tag: str) -> None:
    with pytest.raises(ValueError, match=f"no <{tag}>"):
        h(tag)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//other.example",
        "/\\other.example",
        "ftp://x",
        "data:text/html,x",
        " /x",
        "/\nx",
    ],
)
def test_links_lead_to_us_or_to_another_site(url: str) -> None:
    with pytest.raises(ValueError, match="no link"):
        h("a", {"href": url})


def test_a_style_sets_variables_alone() -> None:
    assert h("div", {"style": "--w:3%"}) == ("div", {"style": "--w:3%"}, [])
    with pytest.raises(ValueError, match="CSS variables"):
        h("div", {"style": "background: url(https://x)"})


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(texts, st.dictionaries(st.sampled_from(["q", "flow", "sla"]), texts))
def test_an_address_leads_back_to_the_place_that_it_was_made_of(part: str, asked: dict[str, str]) -> None:
    address = href(path_to("sagas", part), asked)

    assert is_link(address)
    assert dict(place_of(address).asked) == asked


def test_an_address_is_changed_and_what_is_empty_is_left_out() -> None:
    place = Place("/sagas", {"flow": "order", "status": "open", "after": "cursor"})

    assert place.but(status="") == "/sagas?flow=order"
    assert place.but(sla="due soon") == "/sagas?flow=order&status=open&sla=due%20soon"
    assert place_of("//other/x?a=1&a=2") == Place("/x", {"a": "2"})
