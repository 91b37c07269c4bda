"""Alerts, dead letters, services, orphans and access in a real browser, as viewers and operators see them."""

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.access_kit import PASSWORD
from tests.browser.test_pages import open_at, rows
from tracker.access.role import Role

GROUP = "/dead-letters?topic=saga.dlq.payments&service=payments&type=stock.reserved"
PATHS = (
    "/alerts", "/dead-letters", GROUP, "/services", "/services?show=events", "/services/payments",
    "/services?event=stock.reserved", "/orphans", "/settings",
)  # fmt: skip


def sign_in(page: Page, door: str, role: Role, path: str) -> Page:
    page.goto(f"{door}/sign-in?next=/alerts")
    page.fill("input[name=name]", role.text)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Alerts")
    return open_at(page, f"{door}{path}")


def ask(page: Page, button: str, reason: str) -> None:
    page.locator("dialog[open] textarea").fill(reason)
    page.locator("dialog[open]").get_by_role("button", name=button, exact=True).click()


def test_dead_letters_are_grouped_with_the_numbers_of_the_api(board: str, page: Page) -> None:
    groups = httpx.get(f"{board}/api/v1/dead-letters/groups").json()["groups"]
    open_at(page, f"{board}/dead-letters")

    expect(rows(page)).to_have_count(len(groups))
    expect(rows(page).first).to_contain_text(f"{groups[0]['letters']:,}")
    rows(page).first.get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"/dead-letters\?topic=saga\.dlq\.payments"))
    expect(rows(page)).to_have_count(min(50, groups[0]["letters"]))


def test_an_operator_redrives_a_group_with_a_reason_and_sees_how_far_it_is(door: str, page: Page) -> None:
    sign_in(page, door, Role.OPERATOR, "/dead-letters")

    rows(page).first.get_by_role("button", name="Redrive").click()
    ask(page, "Redrive", "the bank answers again")

    redrives = page.locator("#redrives")
    expect(redrives).to_contain_text("by operator: the bank answers again")
    expect(redrives).to_contain_text(re.compile(r"waiting.*\d+ to go", re.DOTALL))
    redrives.get_by_role("button", name="Stop").click()
    expect(redrives).to_contain_text("aborted")


def test_what_is_not_asked_with_a_reason_is_not_done(door: str, page: Page) -> None:
    sign_in(page, door, Role.OPERATOR, GROUP)

    rows(page).first.get_by_role("button", name="Discard").click()
    # The browser asks for a reason that is not empty; of spaces only the server knows.
    ask(page, "Discard", "   ")

    expect(page.locator(".said")).to_contain_text("Not done: `reason` is empty")


def test_a_viewer_sees_no_action_and_is_refused_by_the_server(door: str, page: Page) -> None:
    sign_in(page, door, Role.VIEWER, "/dead-letters")
    for path in ("/dead-letters", GROUP, "/settings"):
        open_at(page, f"{door}{path}")
        expect(page.locator(".page form, .page dialog, .page button")).to_have_count(0)

    # As somebody who writes the message of the browser by hand.
    page.evaluate(
        """() => {
          const form = document.createElement("form");
          form.dataset.act = "letters redrive";
          form.innerHTML = "<input name=topic value=saga.dlq.payments><input name=reason value=smuggled>";
          document.querySelector(".page").append(form);
          form.requestSubmit();
        }"""
    )
    expect(page.locator(".said")).to_contain_text("Not done:")
    expect(page.locator(".said")).to_contain_text("operator")
    open_at(page, f"{door}/dead-letters")
    expect(page.locator(".page")).not_to_contain_text("smuggled")


def test_an_admin_makes_a_token_that_is_shown_once_and_revokes_it(door: str, page: Page) -> None:
    sign_in(page, door, Role.ADMIN, "/settings")

    page.get_by_role("button", name="New token").click()
    page.fill("dialog[open] input[name=name]", "nightly report")
    ask(page, "New token", "for the report")
    secret = page.locator(".said code").inner_text()

    bearer = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(f"{door}/api/v1/me", headers=bearer).json()["role"] == "viewer"
    page.locator(".said").get_by_role("button", name="Close").click()
    expect(page.locator(".said")).to_have_count(0)
    tokens = page.locator("#tokens")
    expect(tokens).not_to_contain_text(secret)
    tokens.get_by_role("button", name="Revoke").click()
    ask(page, "Revoke", "it is over")
    expect(tokens).to_contain_text("No API tokens")
    assert httpx.get(f"{door}/api/v1/me", headers=bearer).status_code == httpx.codes.UNAUTHORIZED


def test_an_event_says_who_is_hit_if_it_changes(board: str, page: Page) -> None:
    open_at(page, f"{board}/services?show=events")

    page.get_by_role("link", name="stock.reserved", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text("stock.reserved")
    expect(page.locator(".page")).to_contain_text("1 service and 1 flow.")
    page.get_by_role("link", name="payments", exact=True).first.click()
    expect(page).to_have_url(re.compile("/services/payments$"))
    expect(page.locator(".page")).to_contain_text("payment.charged")


def test_services_say_how_many_of_their_dead_letters_wait(board: str, page: Page) -> None:
    groups = httpx.get(f"{board}/api/v1/dead-letters/groups", params={"service": "payments"}).json()["groups"]
    open_at(page, f"{board}/services")

    rows(page).filter(has_text="payments").get_by_role(
        "link", name=f"{sum(each['to_do'] for each in groups)}"
    ).click()

    expect(page).to_have_url(re.compile(r"/dead-letters\?service=payments$"))
    expect(rows(page)).to_have_count(50)


def test_what_comes_from_events_never_runs_on_these_pages(board: str, page: Page) -> None:
    for path in ("/alerts", GROUP, "/settings", "/services?event=<img src=x onerror='window.ran=1'>"):
        open_at(page, f"{board}{path}")
        expect(page.locator(".page")).to_contain_text("<img src=x")
        assert page.evaluate("window.ran") is None
        assert page.locator(".page img, .page script").count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_these_pages_are_as_wide_as_the_window(board: str, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path in PATHS:
        open_at(page, f"{board}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
