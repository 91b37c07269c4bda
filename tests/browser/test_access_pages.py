"""What people may do on the pages: operators act, viewers look, others sign in first."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.access_kit import PASSWORD, put_user
from tests.browser.conftest import serving
from tests.browser.test_pages import open_at
from tracker.access.role import Role

# What the page would send if it had the button: whoever looks can write it into the console.
SEND_ACT = """([name, fields]) => {
  const element = Object.entries(mounted_app.elements)
    .find(([, each]) => each.events?.some((event) => event.type === "act"));
  const event = element[1].events.find((event) => event.type === "act");
  window.socket.emit("event", {
    id: Number(element[0]), client_id: window.clientId, listener_id: event.listener_id,
    args: [JSON.stringify({ name, fields })],
  });
}"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard with users."""
    folder = tmp_path_factory.mktemp("guarded")
    for role in Role:
        put_user(folder / "users", role.text, role)
    with serving(
        ["tests.browser.board", "--sagas", "200", "--users", str(folder / "users")], folder / "log"
    ) as url:
        yield url


def signed_in(browser: Browser, url: str, name: str, path: str) -> Page:
    page = browser.new_page()
    page.goto(f"{url}{path}")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}{path}")
    return open_at(page, f"{url}{path}")


def first_saga(page: Page) -> None:
    page.locator("tbody tr a").first.click()
    expect(page.locator("#timeline")).to_be_visible()


def test_a_viewer_sees_no_buttons_and_the_server_refuses_what_they_would_do(
    browser: Browser, guarded: str
) -> None:
    page = signed_in(browser, guarded, "viewer", "/sagas?status=stuck")
    expect(page.locator(".role")).to_have_text("viewer")
    first_saga(page)
    expect(page.locator(".actions")).to_have_count(0)

    page.evaluate(SEND_ACT, ["saga cancel", {"saga": "s", "reason": "I can"}])

    expect(page.locator(".said")).to_contain_text("this needs operator")
    page.close()


def test_an_operator_sees_them_and_has_to_say_why(browser: Browser, guarded: str) -> None:
    page = signed_in(browser, guarded, "operator", "/sagas?status=stuck")
    first_saga(page)

    page.get_by_role("button", name="Skip").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Leave payment.charged as it is")
    dialog.get_by_role("button", name="Skip").click()
    expect(dialog, "without a reason nothing is sent").to_be_visible()

    page.evaluate(SEND_ACT, ["saga skip", {"saga": "s", "reason": " "}])
    expect(page.locator(".said")).to_contain_text("`reason` is empty")
    page.evaluate(SEND_ACT, ["saga eat", {"saga": "s", "reason": "why not"}])
    expect(page.locator(".said")).to_contain_text("load the page again")
    page.close()
