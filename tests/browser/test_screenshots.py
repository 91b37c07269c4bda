"""Pictures of every page, light and dark, wide and as on a phone.

They are put into docs/screenshots when SAGA_SCREENSHOTS says where that is; otherwise they are taken, held
against the window and thrown away.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.test_pages import open_at, some

PAGES = {
    "overview": "/",
    "flow": "/flows/order",
    "sagas": "/sagas?status=in-flight",
    "compensated": "compensated",
    "stuck": "stuck",
    "alerts": "/alerts",
    "dead-letters": "/dead-letters",
    "dead-letters-of-a-group": "/dead-letters?topic=saga.dlq.payments&service=payments&type=stock.reserved",
    "services": "/services",
    "events": "/services?show=events",
    "event": "/services?event=stock.reserved",
    "settings": "/settings",
}
WIDTHS = {"wide": 1440, "phone": 390}
HEIGHT = 900
HEIGHT_MAX = 1_300
"""Of a picture: a list goes on and on."""

# Words that end where their box does, although there is more of them; where that is meant there is a title.
_CUT = """() => [...document.querySelectorAll(".page *")]
  .filter((each) => each.childElementCount === 0 && each.textContent.trim()
    && each.scrollWidth > each.clientWidth + 1
    && getComputedStyle(each).overflow === "hidden" && !each.closest("[title]"))
  .map((each) => each.textContent)"""

_QUIET = ".said { display: none }"
"""What was said for a moment is not of the page."""


@pytest.mark.parametrize("name", PAGES)
def test_pictures_of_each_page(board: str, browser: Browser, tmp_path: Path, name: str) -> None:
    path = PAGES[name]
    address = path if path.startswith("/") else f"/sagas/{some(board, status=path)['id']}"
    page = browser.new_page()
    open_at(page, f"{board}{address}")
    take_pictures(page, name, tmp_path)
    page.close()


def take_pictures(page: Page, name: str, otherwise: Path) -> None:
    """All four of the page that is open; `otherwise`: the folder when they are not to be kept."""
    folder = Path(os.environ.get("SAGA_SCREENSHOTS") or otherwise)
    for width in WIDTHS:
        page.set_viewport_size({"width": WIDTHS[width], "height": HEIGHT})
        height = min(HEIGHT_MAX, page.evaluate("document.documentElement.scrollHeight"))
        for theme in ("light", "dark"):
            page.evaluate("(theme) => document.documentElement.dataset.theme = theme", theme)
            file = folder / f"{name}-{theme}-{width}.png"
            clip = {"x": 0, "y": 0, "width": WIDTHS[width], "height": height}
            page.screenshot(path=file, full_page=True, clip=clip, style=_QUIET)  # type: ignore[arg-type]
            assert file.stat().st_size > 10_000
        assert not cut(page), width
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]


def cut(page: Page) -> list[str]:
    found: list[str] = page.evaluate(_CUT)
    return found
