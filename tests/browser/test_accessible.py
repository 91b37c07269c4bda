"""axe-core finds nothing serious on any page, in light and in dark, on a laptop and on a phone."""

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page

from tests.browser.test_pages import open_at, some

PAGES = [
    "/",
    "/flows",
    "/flows/order",
    "/sagas",
    "/sagas?status=retrying&sla=overdue",
    "stuck",
    "compensated",
    "retrying?event",
    "/alerts",
    "/dead-letters",
    "/dead-letters?topic=saga.dlq.payments",
    "/services",
    "/services/payments",
    "/services?event=stock.reserved",
    "/orphans",
    "/settings",
    "/nowhere",
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(board: str, browser: Browser, path: str, theme: str) -> None:
    width = 1440 if theme == "light" else 390
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    address = path if path.startswith("/") else one_saga(board, path)
    open_at(page, f"{board}{address}")

    found = serious(page)
    page.close()
    assert not found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_dialogs(board: str, browser: Browser, theme: str) -> None:
    page = browser.new_page(color_scheme=theme)  # type: ignore[arg-type]
    found = []
    for address, button in ((one_saga(board, "retrying"), "Cancel"), ("/sagas", "Act on several…")):
        open_at(page, f"{board}{address}")
        page.get_by_role("button", name=button).click()
        found += serious(page)
    page.close()
    assert not found


def serious(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds, and where it stands."""
    return [
        (each["id"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def one_saga(board: str, kind: str) -> str:
    """The page of a saga with this status; with an event of it beside if that is asked for."""
    status, event, _ = kind.partition("?event")
    saga = some(board, status=status)["id"]
    if not event:
        return f"/sagas/{saga}"
    events = httpx.get(f"{board}/api/v1/sagas/{saga}").json()["events"]
    return f"/sagas/{saga}?event={events[-1]['id']}"
