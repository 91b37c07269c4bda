"""The dashboard in a real browser, over a read model of 10,000 sagas."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.cli import told
from tests.browser.conftest import serving
from tests.browser.population import EVIL_KEY
from tests.waiting import until
from tracker.view.duration import human

WIDTHS = {"laptop": 1280, "phone": 390}


def open_at(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.locator(".page")).to_be_visible()
    # Nothing is pressed before the server listens.
    page.wait_for_function("() => window.saga && window.did_handshake")
    return page


def some(board: str, **asked: str) -> dict[str, str]:
    found: dict[str, str] = httpx.get(f"{board}/api/v1/sagas", params={"limit": 1, **asked}).json()["sagas"][
        0
    ]
    return found


def rows(page: Page) -> Locator:
    return page.locator("tbody tr")


def test_the_overview_says_how_far_each_flow_is_with_the_numbers_of_the_api(board: str, page: Page) -> None:
    open_at(page, board)
    (flow,) = httpx.get(f"{board}/api/v1/flows").json()["flows"]

    card = page.get_by_role("region", name="order")
    expect(card).to_contain_text(f"{flow['in_flight']:,} in flight")
    expect(card.locator(".stage", has_text="order.placed").locator(".standing")).to_have_text(
        f"{next(stage['sagas'] for stage in flow['stages'] if stage['type'] == 'order.placed'):,}"
    )
    expect(card.locator(".stage.end .standing")).to_have_text(f"{flow['today']['completed']:,}")


def test_the_numbers_of_the_pages_are_those_of_the_cli(board: str, page: Page) -> None:
    open_at(page, board)
    card = page.get_by_role("region", name="order")
    funnel: dict[str, Any] = {}

    def agree() -> bool:
        # Sagas become overdue one after another: both are asked again until none does in between.
        funnel.update(told("funnel", "order", "--url", board))
        return stages(card) == stages_of(funnel)

    until(agree, 150, what="the overview and `saga funnel` say the same")
    expect(card).to_contain_text(f"{funnel['in_flight']:,} in flight")
    ended = {stage["type"]: stage["ended"] for stage in funnel["stages"]}
    expect(card.locator(".stage.end .standing")).to_have_text(f"{ended['parcel.dispatched']:,}")
    found = told("list", "--status", "stuck", "--limit", "0", "--url", board)
    open_at(page, f"{board}/flows/order")
    for stage in funnel["stages"]:
        box = page.locator("#map svg a", has=page.locator("rect.event"), has_text=stage["type"])
        passed = f"{stage['passed']:,}" if stage["passed"] else "not seen"
        expect(box.locator("text.small")).to_have_text(re.compile(f"^{passed}(,|$)"))
    card.get_by_role("link", name=f"{len(found)} stuck").click()
    expect(page).to_have_url(re.compile("status=stuck"))
    expect(rows(page)).to_have_count(len(found))
    keys = rows(page).locator("a[data-step]").all_inner_texts()
    assert sorted(keys) == sorted(saga["key"] for saga in found)


def stages(card: Locator) -> dict[str, tuple[str, str]]:
    """How many stand at each stage of a card, and how many of them are said to be overdue."""
    found = {}
    for stage in card.locator(".stage:not(.end)").all():
        name, standing = stage.locator(".stage-name"), stage.locator(".standing")
        overdue = re.search(r"([\d,]+) overdue", stage.locator(".stage-states").inner_text())
        found[name.inner_text()] = standing.inner_text(), overdue.group(1) if overdue else "0"
    return {name: numbers for name, numbers in found.items() if numbers != ("0", "0")}


def stages_of(funnel: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The same of a funnel of the CLI."""
    found = {
        each["type"]: (each["standing"] + each["compensating"], each["overdue"]) for each in funnel["stages"]
    }
    return {name: (f"{two[0]:,}", f"{two[1]:,}") for name, two in found.items() if any(two)}


def test_a_list_is_asked_for_page_by_page_and_the_address_says_what_it_shows(board: str, page: Page) -> None:
    open_at(page, f"{board}/sagas")
    expect(rows(page)).to_have_count(50)

    page.get_by_role("link", name="Retrying", exact=True).click()
    expect(page).to_have_url(re.compile(r"status=retrying$"))
    expect(page.locator("tbody .status", has_text="retrying")).to_have_count(50)
    first = rows(page).first.locator("a").inner_text()
    page.get_by_role("link", name="Next page").click()
    expect(page).to_have_url(re.compile("after="))
    expect(page.get_by_role("link", name=first, exact=True)).to_have_count(0)
    expect(page.locator("tbody .status", has_text="retrying").first).to_be_visible()
    expect(page.locator("tbody .status").filter(has_not_text="retrying")).to_have_count(0)

    page.go_back()
    expect(page.get_by_role("link", name="Retrying", exact=True)).to_have_class(re.compile(r"\bon\b"))


def test_a_business_key_or_the_beginning_of_an_id_is_found_from_anywhere(board: str, page: Page) -> None:
    saga = some(board, status="completed")
    open_at(page, board)

    page.keyboard.press("/")
    page.keyboard.type(saga["key"])
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{board}/sagas/{saga['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text(saga["key"])
    expect(page.locator(".title-row .status")).to_have_text("completed")

    page.fill("#search", saga["id"][:-1])
    page.press("#search", "Enter")
    expect(page.locator("tbody tr", has_text=saga["key"])).to_be_visible()


def test_one_saga_shows_its_causes_its_undo_and_what_it_waits_for(board: str, page: Page) -> None:
    saga = some(board, status="stuck")
    open_at(page, f"{board}/sagas/{saga['id']}")

    expect(page.locator("#timeline")).to_contain_text("↩ payment.refund")
    expect(page.locator("#compensation")).to_contain_text("0 of 2 undone, because of parcel.lost")
    expect(page.locator("#sequence svg")).to_have_attribute(
        "aria-label", re.compile("5 events between 5 services")
    )
    expect(page.locator("dl.facts").first).to_contain_text("an operator: payment.refund failed")


def test_the_map_of_a_flow_has_its_events_and_leads_to_their_sagas(board: str, page: Page) -> None:
    open_at(page, f"{board}/flows/order")

    drawn = page.locator("#map svg")
    expect(drawn.locator("rect.event")).to_have_count(11)
    drawn.locator("a", has=page.locator("rect.event"), has_text="payment.declined").click()
    expect(page).to_have_url(re.compile(r"/sagas\?flow=order&event=payment\.declined$"))
    expect(rows(page)).to_have_count(50)


def every(board: str, **asked: str) -> list[dict[str, Any]]:
    """All sagas that the API finds so, the newest first."""
    found: list[dict[str, Any]] = []
    while True:
        page = httpx.get(f"{board}/api/v1/sagas", params={"limit": 500, **asked}).json()
        found += page["sagas"]
        if page["next"] is None:
            return found
        asked["after"] = page["next"]


def shown_are(page: Page, expected: list[dict[str, Any]]) -> None:
    """The list shows the first page of these."""
    expect(rows(page).locator("a[data-step]")).to_have_text([saga["key"] for saga in expected[:50]])


def line_of_map(page: Page, edge: str) -> Locator:
    return page.locator("#map svg a").filter(has=page.locator("title", has_text=edge))


_MIDDLE = """(line) => {
  const path = line.querySelector(".reach");
  const middle = path.getPointAtLength(path.getTotalLength() / 2);
  const { x, y } = new DOMPoint(middle.x, middle.y).matrixTransform(path.getScreenCTM());
  return [x, y];
}"""


def test_a_line_of_the_map_leads_to_the_sagas_that_took_it(board: str, page: Page) -> None:
    edge = "payment.charged → shipping → parcel.lost"
    open_at(page, f"{board}/flows/order")
    line_of_map(page, edge).scroll_into_view_if_needed()
    page.mouse.click(*line_of_map(page, edge).evaluate(_MIDDLE))

    expect(page).to_have_url(
        re.compile(r"/sagas\?flow=order&edge=payment\.charged%2Cshipping%2Cparcel\.lost$")
    )
    chosen = page.get_by_role("link", name=f"edge {edge}")
    expect(chosen).to_be_visible()
    # Nothing else loses a parcel.
    shown_are(page, every(board, event_type="parcel.lost"))
    chosen.click()
    expect(page).to_have_url(re.compile(r"/sagas\?flow=order$"))

    # No order was ever charged because of a refund, however many were charged.
    open_at(page, f"{board}/flows/order")
    line_of_map(page, "payment.refund → payments → payment.charged").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#list")).to_contain_text("No saga is like that")


def test_a_variant_leads_to_the_sagas_that_it_counts(board: str, page: Page) -> None:
    open_at(page, f"{board}/flows/order")
    line = page.locator("#variants tbody tr").last
    way = line.locator("a").inner_text()
    count = int(line.locator("td").nth(1).inner_text().replace(",", ""))
    line.locator("td").nth(1).click()

    expect(page.get_by_role("link", name=f"variant {way}")).to_be_visible()
    # Of those that went so, all have ended of which a payment was declined.
    declined = every(board, event_type="payment.declined", ended_from="2025-10-08T00:00:00Z")
    assert len(declined) == count
    shown_are(page, declined)


def test_on_a_phone_the_map_and_the_sequence_are_lists(board: str, page: Page) -> None:
    page.set_viewport_size({"width": WIDTHS["phone"], "height": 900})
    saga = httpx.get(f"{board}/api/v1/sagas/{some(board, status='compensated')['id']}").json()
    open_at(page, f"{board}/sagas/{saga['id']}")
    expect(page.locator("#sequence svg")).to_be_hidden()
    expect(page.locator("#sequence .messages > li")).to_have_count(len(saga["events"]))

    open_at(page, f"{board}/flows/order")
    expect(page.locator("#map svg")).to_be_hidden()
    expect(page.locator("#map .outline > li")).to_have_count(11)
    line = page.locator("#map .outline li li", has_text="payments → payment.declined").first
    expect(line.locator(".number")).to_have_text(re.compile("^[1-9]"))
    lost = page.locator("#map .outline li li", has_text="shipping → parcel.lost")
    expect(lost.locator("a.number")).to_have_text(re.compile(r"^[\d,]+ in flight$"))
    line.get_by_role("link", name="payment.declined").click()
    expect(page).to_have_url(re.compile(r"/sagas\?flow=order&event=payment\.declined$"))


def test_what_comes_from_an_event_is_text_and_never_runs(board: str, page: Page) -> None:
    saga = some(board, key=EVIL_KEY)
    for address in (
        f"/sagas?q={EVIL_KEY}&flow=order",
        f"/sagas/{saga['id']}",
        f"/flows/{EVIL_KEY}",
        f"/{EVIL_KEY}",
    ):
        open_at(page, f"{board}{address}")
        expect(page.locator(".page")).to_contain_text("<img src=x")
        assert page.evaluate("window.ran") is None
        assert page.locator(".page img, .page script").count() == 0


def test_keys_lead_through_pages_and_rows(board: str, page: Page) -> None:
    open_at(page, board)

    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sagas")
    expect(rows(page)).to_have_count(50)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(rows(page).first.locator("a")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/sagas/.+"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_light_and_dark_are_switched_and_kept(board: str, page: Page) -> None:
    open_at(page, board)
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")

    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_times_are_the_viewers_and_exact_when_pointed_at(board: str, page: Page) -> None:
    saga = some(board, status="completed")
    open_at(page, f"{board}/sagas/{saga['id']}")

    began = page.locator("#timeline time").first
    hour = int(saga["began"][11:13])
    expect(began).to_have_text(re.compile(rf"^{hour + 2:02}:{saga['began'][14:19]}|\d{{4}}-"))
    expect(began).to_have_attribute("title", re.compile(r"Europe/Berlin\n.*Z$"))


def test_the_browser_writes_durations_as_the_cli_does(board: str, page: Page) -> None:
    open_at(page, board)
    durations = [
        0,
        0.3,
        12,
        999.4,
        999.6,
        4_200,
        9_940,
        9_960,
        59_600,
        192_000,
        3_599_600,
        90_000_000,
        -4_200,
    ]

    written = page.evaluate(
        """async (durations) => {
          const source = [...document.querySelectorAll("link[rel=modulepreload], script")]
            .map((each) => each.href || "").find((href) => href.includes("tree"));
          const { human } = await import(source ?? performance.getEntriesByType("resource")
            .map((each) => each.name).find((name) => name.includes("tree.js")));
          return durations.map(human);
        }""",
        durations,
    )

    assert written == [human(duration) for duration in durations]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", ["/", "/flows", "/flows/order", "/sagas", "stuck"])
def test_nothing_is_wider_than_the_window(board: str, window: BrowserContext, width: str, path: str) -> None:
    page = window.new_page()
    page.set_viewport_size({"width": WIDTHS[width], "height": 900})
    open_at(
        page, f"{board}/sagas/{some(board, status='stuck')['id']}" if path == "stuck" else f"{board}{path}"
    )

    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    if width == "phone":
        assert page.evaluate(_SIDEWAYS) == []


_SIDEWAYS = """() => [...document.querySelectorAll(".page *")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1
    && ["auto", "scroll"].includes(getComputedStyle(each).overflowX))
  .map((each) => each.outerHTML.slice(0, 200))"""


def test_without_a_server_the_page_says_so_loudly(board: str, page: Page, window: BrowserContext) -> None:
    open_at(page, board)
    banner = page.locator(".cut")
    expect(banner).to_be_hidden()

    window.set_offline(True)
    page.evaluate("window.socket.disconnect()")

    expect(banner).to_be_visible()


def test_without_a_tracker_every_page_says_so_loudly_until_there_is_one(tmp_path: Path, page: Page) -> None:
    gone = tmp_path / "gone"
    with serving(["tests.browser.board", "--sagas", "20", "--gone", str(gone)], tmp_path / "log") as url:
        open_at(page, url)
        banner = page.get_by_role("alert").filter(has_text="No tracker is at work")
        expect(page.locator(".freshness")).to_contain_text("as of")
        expect(banner).to_have_count(0)

        gone.touch()
        expect(banner).to_contain_text("no deadline is judged and nothing is undone")
        page.get_by_role("link", name="Flows").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Flows")
        expect(banner).to_be_visible()
        # What waits for the tracker is not in what is shown.
        expect(banner).to_contain_text(re.compile("What you see is .+ old"))

        gone.unlink()
        expect(banner).to_have_count(0)
