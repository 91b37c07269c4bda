"""The list of sagas and the page of one in a real browser: views, one action for many, events, plans."""

import re

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_operations import ask, sign_in
from tests.browser.test_pages import open_at, rows, some
from tracker.access.role import Role

REASON = "the bank is down"


def test_an_operator_acts_on_those_that_are_chosen(door: str, page: Page) -> None:
    sign_in(page, door, Role.OPERATOR, "/sagas?status=in-flight")
    rows(page).nth(0).get_by_role("checkbox").check()
    rows(page).nth(2).get_by_role("checkbox").check()
    expect(page.locator(".bulk")).to_contain_text("2 chosen")
    chosen = [rows(page).nth(index).locator("td").last.inner_text() for index in (0, 2)]

    page.get_by_role("button", name="Act on several…").click()
    ask(page, "Act on several", REASON)

    jobs = page.locator("#jobs")
    expect(jobs).to_contain_text(f"by operator: {REASON}")
    # What is done is chosen and typed no more; a job for the same once again is one that nobody wants.
    expect(page.locator(".page input:checked")).to_have_count(0)
    expect(page.locator(".bulk").get_by_role("status")).to_have_text("")
    expect(page.locator(".page textarea").first).to_have_value("")
    jobs.get_by_role("link", name="pause 2 sagas").click()
    expect(page).to_have_url(re.compile("/jobs/"))
    expect(rows(page)).to_have_count(2)
    assert [row.locator("a").inner_text() for row in rows(page).all()] == chosen
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".job")).to_contain_text("aborted")
    page.get_by_role("link", name="Accepted").click()
    expect(page.locator(".page")).to_contain_text("None came to this.")


def test_an_action_for_all_that_is_found_needs_a_limit_that_fits(door: str, page: Page) -> None:
    sign_in(page, door, Role.OPERATOR, "/sagas?status=completed")

    page.get_by_role("button", name="Act on several…").click()
    page.locator("dialog[open] select[name=action]").select_option(label="Write into their history")
    page.locator("dialog[open] select[name=which]").select_option("found")
    page.get_by_label("No more than").fill("10")
    ask(page, "Act on several", REASON)
    expect(page.locator(".said")).to_contain_text("Not done: it would be more than 10 sagas")

    found = page.request.get(f"{door}/api/v1/sagas?status=completed&limit=200").json()["sagas"]
    count = len(found)
    page.get_by_role("button", name="Act on several…").click()
    # What was refused is still there, to be mended.
    expect(page.locator("dialog[open] select[name=which]")).to_have_value("found")
    page.get_by_label("No more than").fill(str(count))
    ask(page, "Act on several", REASON)
    expect(page.locator("#jobs")).to_contain_text(f"note {count} sagas")
    page.locator("#jobs .job", has_text=f"note {count} sagas").get_by_role("button", name="Stop").click()


def test_what_is_typed_stays_when_others_begin_a_job(board: str, page: Page) -> None:
    open_at(page, f"{board}/sagas?status=retrying")
    rows(page).first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Act on several…").click()
    page.locator("dialog[open] textarea").fill("half a reas")

    body = {"action": "note", "reason": "by somebody else", "sagas": {"flow": "order", "status": ["stuck"]}}
    job = httpx.post(f"{board}/api/v1/jobs", json=body).json()["id"]

    expect(page.locator("#jobs")).to_contain_text("by somebody else")
    expect(page.locator("dialog[open] textarea")).to_have_value("half a reas")
    expect(rows(page).first.get_by_role("checkbox")).to_be_checked()
    assert httpx.post(f"{board}/api/v1/jobs/{job}/abort").json()["aborting"]


def test_a_list_stands_still_when_something_comes_or_goes_above_it(board: str, page: Page) -> None:
    open_at(page, f"{board}/sagas?status=stuck&order=oldest")
    row = rows(page).nth(2)
    place = aimed_at(row)
    note = {"action": "note", "reason": "above the list", "sagas": {"flow": "order", "status": ["stuck"]}}
    job = httpx.post(f"{board}/api/v1/jobs", json=note).json()["id"]
    expect(page.locator("#jobs")).to_contain_text("above the list")
    assert abs(place_of(row) - place) < 1
    assert httpx.post(f"{board}/api/v1/jobs/{job}/abort").json()["aborting"]

    # At the top of the page there is nothing to scroll when it goes away.
    page.evaluate("window.scrollTo(0, 0)")
    place = aimed_at(row)
    assert page.evaluate("window.scrollY") == 0
    page.locator("#jobs").evaluate("(panel) => panel.style.display = 'none'")
    assert abs(place_of(row) - place) < 1
    page.mouse.move(0, 0)
    page.wait_for_function("() => !document.querySelector('.aimed-at')")
    assert abs(place_of(row) - place) > 10


def aimed_at(row: Locator) -> float:
    row.hover()
    row.page.wait_for_function("() => document.querySelector('.aimed-at')")
    return place_of(row)


def place_of(row: Locator) -> float:
    """How far from the top of the window people see it; windows scroll by whole pixels."""
    row.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box = row.bounding_box()
    assert box is not None
    return box["y"]


def test_a_viewer_can_not_act_on_sagas(door: str, page: Page) -> None:
    sign_in(page, door, Role.VIEWER, "/sagas?status=stuck")
    expect(rows(page).first).to_be_visible()
    expect(page.locator(".page").get_by_role("checkbox")).to_have_count(0)
    expect(page.locator(".page [data-act]:not([data-act^=view])")).to_have_count(0)
    rows(page).first.locator("a").first.click()
    expect(page.locator("#timeline")).to_be_visible()
    expect(page.locator(".page [data-act], .page dialog")).to_have_count(0)

    for act in ("sagas act", "payload unmask", "saga cancel"):
        # As somebody who writes the message of the browser by hand.
        page.evaluate(
            """([act, saga]) => {
              const form = document.createElement("form");
              form.dataset.act = act;
              const bulk = { action: "pause", which: "found", most: 1000 };
              const fields = { saga, event: "x", reason: "smuggled", ...bulk };
              for (const [name, value] of Object.entries(fields)) {
                const input = document.createElement("input");
                Object.assign(input, { name, value });
                form.append(input);
              }
              document.querySelector(".page").append(form);
              form.requestSubmit();
              form.remove();
            }""",
            [act, page.url.rpartition("/")[2]],
        )
        expect(page.locator(".said")).to_contain_text(re.compile("Not done:.*(operator|no event)"))
        page.wait_for_function("() => { saga.say(''); return true; }")
    jobs = page.request.get(f"{door}/api/v1/jobs").json()["jobs"]
    assert "smuggled" not in {job["reason"] for job in jobs}


def test_a_search_is_saved_under_a_name(board: str, page: Page) -> None:
    open_at(page, f"{board}/sagas?status=stuck&order=stalest")
    page.get_by_role("button", name="Save view").click()
    page.fill("dialog[open] input[name=name]", "undos that are stuck")
    page.locator("dialog[open]").get_by_role("button", name="Save view").click()

    view = page.get_by_role("link", name="undos that are stuck")
    expect(view).to_have_class(re.compile(r"\bon\b"))
    page.get_by_role("link", name="Retrying", exact=True).click()
    expect(view).not_to_have_class(re.compile(r"\bon\b"))
    view.click()
    expect(page).to_have_url(re.compile(r"\?status=stuck&order=stalest$"))
    expect(page.locator("tbody .status").filter(has_not_text="stuck")).to_have_count(0)
    page.get_by_role("button", name="Remove this view").click()
    expect(view).to_have_count(0)


def test_filters_are_chosen_and_stand_in_the_address(board: str, page: Page) -> None:
    open_at(page, f"{board}/sagas?status=retrying")
    page.get_by_text("More filters").click()
    page.get_by_label("Waiting for").select_option("payments")

    expect(page).to_have_url(re.compile(r"\?status=retrying&waiting-for=payments$"))
    expect(page.locator(".chip.on", has_text="waiting for payments")).to_be_visible()
    expect(rows(page)).to_have_count(50)


def test_an_event_is_opened_beside_the_page_and_closed(board: str, page: Page) -> None:
    saga = some(board, status="retrying")
    open_at(page, f"{board}/sagas/{saga['id']}")
    page.locator("#timeline").get_by_role("link", name="stock.reserved").click()

    drawer = page.get_by_role("complementary", name="Event stock.reserved")
    expect(drawer).to_contain_text("retrying after 120 ms")
    expect(drawer).to_contain_text("payments.errors.BankTimeout: the bank did not answer within 100 ms")
    expect(page).to_have_url(re.compile(r"\?event=.+e2$"))
    drawer.get_by_text("Cause").locator("xpath=following-sibling::dd[1]").get_by_role("link").click()
    expect(page.get_by_role("complementary", name="Event order.placed")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".drawer")).to_have_count(0)
    expect(page).to_have_url(f"{board}/sagas/{saga['id']}")


def test_what_would_be_undone_is_seen_before_it_is(board: str, page: Page) -> None:
    saga = some(board, status="retrying")
    open_at(page, f"{board}/sagas/{saga['id']}")
    page.get_by_role("button", name="Cancel").click()

    steps = page.locator("dialog[open] .plan li")
    expect(steps).to_have_text(
        [re.compile("stock.reserved by ↩ stock.release"), re.compile("order.cancelled")]
    )


def test_the_timeline_has_a_bar_for_each_clock(board: str, page: Page) -> None:
    saga = some(board, status="completed")
    open_at(page, f"{board}/sagas/{saga['id']}")

    assert clock(page, "in-all").locator(".bar").count() == 1
    expect(clock(page, "charge-fast")).to_contain_text(re.compile("met after|late by"))


def clock(page: Page, rule: str) -> Locator:
    return page.locator("#timeline .line", has_text=rule)


@pytest.mark.parametrize("over", ["", "month"])
def test_a_flow_shows_how_long_its_sagas_took(board: str, page: Page, over: str) -> None:
    history = httpx.get(f"{board}/api/v1/flows/order/history").json()
    open_at(page, f"{board}/flows/order?over={over}")

    expect(page.locator("#durations .step-column")).to_have_count(len(history["spread"]))
    expect(page.locator("#deadlines")).to_contain_text(f"{history['whole']['breached']:,} breached")


def test_the_rail_says_how_much_waits_for_somebody(board: str, page: Page) -> None:
    groups = httpx.get(f"{board}/api/v1/dead-letters/groups").json()["groups"]
    (flow,) = httpx.get(f"{board}/api/v1/flows").json()["flows"]
    open_at(page, board)

    count = page.locator(".rail a", has_text="Dead letters").locator(".count")
    expect(count).to_have_text(f"{sum(each['to_do'] for each in groups):,}")
    expect(page.locator(".rail a", has_text="Sagas").locator(".count")).to_have_text(f"{flow['stuck']:,}")
