"""A real browser: the system's Chromium, driven by Playwright."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.access_kit import put_user
from tests.browser.chromium import ARGUMENTS, MISSING, chromium_path
from tests.waiting import until
from tracker.access.role import Role

START_SECONDS_MAX = 180
expect.set_options(timeout=30_000)  # pages are kept up to date as soon as a busy machine comes to it


# Of a module and not of all: as long as it is there its event loop runs, and other tests have loops too.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium_path()
    if path is None:
        # CI must never pass for lack of a browser; a laptop without one may run the rest.
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over 10,000 sagas; workers of one run share the making of them."""
    ours = tmp_path_factory.getbasetemp()
    kept = ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours
    log = tmp_path_factory.mktemp("board") / "log"
    with serving(["tests.browser.board", "--sagas", "10000", "--kept", str(kept)], log) as url:
        yield url


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard where people have to sign in, each named as their role."""
    folder = tmp_path_factory.mktemp("door")
    for role in Role:
        put_user(folder / "users", role.text, role)
    arguments = ["tests.browser.board", "--sagas", "200", "--users", str(folder / "users")]
    with serving(arguments, folder / "log") as url:
        yield url


class serving:  # noqa: N801  # read as a sentence: with serving(...)
    """A dashboard in a process of its own, at a port that is free; the context is its address."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._arguments, self._log = arguments, log

    def __enter__(self) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with self._log.open("w") as log:
            command = [sys.executable, "-m", *self._arguments, "--port", str(port)]
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: self._answers(url), START_SECONDS_MAX, what=f"{url} answers")
        except BaseException:
            self.__exit__()
            raise
        return url

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _answers(self, url: str) -> bool:
        if self._process.poll() is not None:
            pytest.fail(f"the dashboard ended by itself:\n{self._log.read_text()}")
        try:
            return httpx.get(f"{url}/api/v1/openapi.json", timeout=5).status_code in (200, 401)
        except httpx.TransportError:
            return False


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A window with nothing in it, as wide as a laptop's."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="Europe/Berlin")
    yield context
    context.close()


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    """A page; the test fails if anything in it does."""
    page = window.new_page()
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(_text(error)))
    page.on("console", lambda message: failed.append(message.text) if message.type == "error" else None)
    yield page
    assert not failed, failed


def _text(error: Error) -> str:
    return str(error)
