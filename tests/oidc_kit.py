"""The OpenID provider that the tests run, and somebody with a browser who signs in there."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from services.demo.node import NodeMissing, PackagesMissing, node_command
from tests.waiting import until

FOLDER = Path(__file__).parent / "oidc_provider"
CLIENT_ID = "saga-dashboard"
# RFC 6749 wants both encoded before they are put together: this one tells whether they are.
CLIENT_SECRET = "of the tests: 100% & + /"
GROUPS = {
    "ada": ["staff", "saga-admins"],
    "oskar": ["saga-operators", "staff"],
    "vera": ["staff"],
    "mallory": ["others"],
}
_START_SECONDS = 60
_STEPS_MAX = 12


def provider_command() -> list[str]:
    """How the provider is run; without Node.js the test is skipped, in CI it fails."""
    try:
        return node_command(FOLDER, "provider.js")
    except (NodeMissing, PackagesMissing) as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs Node.js and the OpenID provider: {error}")
        pytest.skip(str(error))


@contextmanager
def provider(
    site: str, port: int, log: Path, secret: str = CLIENT_SECRET, groups: Mapping[str, list[str]] = GROUPS
) -> Iterator[str]:
    """The issuer of a provider that knows the server at `site`, there until the block ends."""
    settings = {
        "PORT": str(port),
        "SITE": site,
        "CLIENT_ID": CLIENT_ID,
        "CLIENT_SECRET": secret,
        "GROUPS": json.dumps(groups),
    }
    command = provider_command()
    log.write_text("")
    with log.open("ab") as output:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=output)
    try:
        until(
            lambda: "is running" in log.read_text() or process.poll() is not None,
            _START_SECONDS,
            what="the provider runs",
        )
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


async def follow(browser: httpx.AsyncClient, answer: httpx.Response, until_: str) -> httpx.Response:
    """Go where redirects lead, up to an address that begins so."""
    for _ in range(_STEPS_MAX):
        if "location" not in answer.headers:
            return answer
        url = urljoin(str(answer.url), answer.headers["location"])
        if url.startswith(until_):
            answer.headers["location"] = url
            return answer
        answer = await browser.get(url)
    raise AssertionError(f"still on the way after {_STEPS_MAX} redirects, at {answer.url}")


async def sign_in_there(browser: httpx.AsyncClient, name: str, callback: str, answer: httpx.Response) -> str:
    """Fill in the forms of the provider, from its answer on; returns where it sends the browser back to."""
    for _ in range(3):
        answer = await follow(browser, answer, callback)
        if answer.headers.get("location", "").startswith(callback):
            return str(answer.headers["location"])
        assert answer.status_code == 200, answer.text
        action = re.search(r'action="([^"]+)"', answer.text)
        assert action is not None, answer.text
        fields = dict(re.findall(r'name="(prompt)" value="(\w+)"', answer.text))
        if fields["prompt"] == "login":
            fields |= {"login": name, "password": "any"}
        answer = await browser.post(urljoin(str(answer.url), action[1]), data=fields)
    raise AssertionError(f"the provider asks on and on: {answer.text}")
