"""Sign in at a real OpenID provider (oidc-provider, which is certified), with a browser that is httpx."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from tests.access_kit import KeptAudit, access_of
from tests.oidc_kit import CLIENT_ID, CLIENT_SECRET, follow, provider, sign_in_there
from tests.served import free_port, served
from tests.unit.test_access_guard import NOW_MS, site_at
from tracker.access.access import Credentials
from tracker.access.errors import SignInRefused
from tracker.access.oidc import CALLBACK_PATH, Begun, Provider
from tracker.access.role import Role
from tracker.access.settings import AccessSettings
from tracker.view.model.database import open_model

pytestmark = pytest.mark.timeout(120)


def settings_for(issuer: str, site: str, secret: str = CLIENT_SECRET) -> dict[str, Any]:
    return {
        "access_url": site,
        "access_oidc_issuer": issuer,
        "access_oidc_client_id": CLIENT_ID,
        "access_oidc_client_secret": SecretStr(secret),
        "access_oidc_scopes": "openid profile groups",
        "access_oidc_viewers": "staff",
        "access_oidc_operators": "saga-operators",
        "access_oidc_admins": "saga-admins, root",
    }


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class World:
    """Our server and the provider, both behind real sockets."""

    def __init__(self, url: str, issuer: str, audit: KeptAudit) -> None:
        self.url = url
        self.issuer = issuer
        self.audit = audit
        self.callback = url + CALLBACK_PATH

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as browser:
            yield browser

    async def sent_back(self, browser: httpx.AsyncClient, name: str, path: str = "/api/v1/me") -> str:
        """Where the provider sends somebody back to who wanted this page."""
        form = await browser.get("/sign-in", params={"next": path})
        link = re.search(r'href="(/sign-in/oidc\?[^"]*)"', form.text)
        assert link is not None, form.text
        begun = await browser.get(unescape(link[1]))
        assert begun.status_code == 303, begun.text
        return await sign_in_there(browser, name, self.callback, begun)

    async def signed_in(self, browser: httpx.AsyncClient, name: str) -> dict[str, str]:
        answer = await browser.get(await self.sent_back(browser, name))
        assert (answer.status_code, answer.headers.get("location")) == (303, "/api/v1/me"), answer.text
        me: dict[str, str] = (await browser.get("/api/v1/me")).json()
        return me


@pytest.fixture(params=[CLIENT_SECRET, ""], ids=["confidential", "public"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with provider(url, free_port(), tmp_path / "provider.log", request.param) as issuer:
        site = site_at(tmp_path, users=False, **settings_for(issuer, url, request.param))
        async with served(site.app, port):
            yield World(url, issuer, site.audit)
        print((tmp_path / "provider.log").read_text())


async def test_groups_of_the_provider_are_roles_here(world: World) -> None:
    for name, role in (("ada", "admin"), ("oskar", "operator"), ("vera", "viewer")):
        async with world.browser() as browser:
            assert await world.signed_in(browser, name) == {"name": name, "role": role, "how": "oidc"}
            acted = await browser.post("/api/v1/acts")
            assert acted.status_code == (403 if role == "viewer" else 200)
    signed_in = [record for record in world.audit.records if record.action == "sign-in"]
    assert [(record.by, record.role, record.outcome) for record in signed_in] == [
        ("ada", "admin", "allowed"),
        ("oskar", "operator", "allowed"),
        ("vera", "viewer", "allowed"),
    ]


async def test_who_has_no_group_that_counts_is_told_so_and_gets_nothing(world: World) -> None:
    async with world.browser() as browser:
        answer = await browser.get(await world.sent_back(browser, "mallory"))
        assert answer.status_code == 403
        assert "Mallory has no role here" in answer.text
        assert not [name for name in browser.cookies if "session" in name and "saga" in name]
        assert (await browser.get("/api/v1/me")).status_code == 401
    assert [(record.by, record.outcome) for record in world.audit.records] == [
        ("somebody unknown", "refused")
    ]


async def test_the_way_there_has_pkce_state_and_nonce_new_each_time(world: World) -> None:
    asked = []
    async with world.browser() as browser:
        for _ in range(2):
            answer = await browser.get("/sign-in/oidc", params={"next": "//evil.example"})
            cookie = answer.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=lax" in cookie
            query = {
                name: value[0] for name, value in parse_qs(urlsplit(answer.headers["location"]).query).items()
            }
            assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
            assert query["redirect_uri"] == world.callback
            asked.append({query["state"], query["nonce"], query["code_challenge"]})
    assert len(asked[0] | asked[1]) == 6


async def test_a_code_is_good_for_one_sign_in_in_the_browser_that_began_it(world: World) -> None:
    async with world.browser() as victim, world.browser() as thief:
        back = await world.sent_back(victim, "ada")
        stolen = await thief.get(back)
        assert (stolen.status_code, "unknown here" in stolen.text) == (403, True)
        assert (await victim.get(back)).status_code == 303
        again = await victim.get(back)
        assert (again.status_code, "unknown here" in again.text) == (403, True)


async def test_answers_that_were_changed_on_the_way_are_refused(world: World) -> None:
    async with world.browser() as browser:
        back = await world.sent_back(browser, "ada")
        state = query_of(back)["state"]
        for changed in (
            re.sub(r"iss=[^&]*", "iss=https%3A%2F%2Fevil.example", back),
            re.sub(r"&?iss=[^&]*", "", back),
            re.sub(r"state=[^&]*", f"state={state[:-4]}AAAA", back),
            re.sub(r"code=[^&]*", "code=stolen", back),
            f"{CALLBACK_PATH}?error=access_denied&state={state}",
            CALLBACK_PATH,
        ):
            answer = await browser.get(changed)
            assert answer.status_code in (403, 502), changed
            assert not browser.cookies.get("saga_session"), changed


async def test_what_the_provider_says_is_shown_as_text(world: World) -> None:
    async with world.browser() as browser:
        begun = await browser.get("/sign-in/oidc")
        state = query_of(begun.headers["location"])["state"]
        said = {
            "error": "x",
            "error_description": "<script>alert(1)</script>",
            "state": state,
            "iss": world.issuer,
        }
        answer = await browser.get(CALLBACK_PATH, params=said)
    assert answer.status_code == 403
    assert "&lt;script&gt;" in answer.text
    assert "<script" not in answer.text


async def test_signing_out_here_signs_out_there(world: World) -> None:
    async with world.browser() as browser:
        await world.signed_in(browser, "ada")
        page = await browser.post("/sign-out", headers={"origin": world.url})
        assert (await browser.get("/api/v1/me")).status_code == 401
        there = re.search(r'content="0;url=([^"]+)"', page.text)
        assert there is not None
        asked = await browser.get(unescape(there[1]))
        form = re.search(r'action="([^"]+)".*name="xsrf" value="([^"]+)"', asked.text, re.DOTALL)
        assert form is not None, asked.text
        done = await browser.post(form[1], data={"xsrf": form[2], "logout": "yes"})
        done = await follow(browser, done, f"{world.url}/sign-in")
        assert done.headers["location"].startswith(f"{world.url}/sign-in")
        # Nobody is signed in there any more: it asks for the name again.
        begun = await browser.get("/sign-in/oidc")
        asked = await follow(browser, begun, world.callback)
        assert 'name="login"' in asked.text


async def test_new_keys_of_the_provider_are_taken_when_they_come(tmp_path: Path) -> None:
    port, site = free_port(), f"http://127.0.0.1:{free_port()}"
    ours: Provider | None = None
    for _ in range(2):  # each start makes other keys
        with provider(site, port, tmp_path / "provider.log") as issuer:
            settings = AccessSettings().model_copy(update=settings_for(issuer, site))
            ours = ours or Provider(settings, ask_again_seconds=0)
            begun = Begun.new("/")
            async with httpx.AsyncClient(timeout=30) as browser:
                first = await browser.get(await ours.sign_in_url(begun))
                back = await sign_in_there(browser, "ada", site + CALLBACK_PATH, first)
            answer = query_of(back)
            known = await ours.finish(begun, answer)
            assert (known.name, known.role) == ("ada", Role.ADMIN)
            with pytest.raises(SignInRefused, match="unknown here"):
                await ours.finish(Begun.new("/"), answer)
    assert ours is not None
    await ours.close()


async def test_without_the_provider_the_page_says_so_and_users_of_the_file_sign_in(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    site = site_at(tmp_path, **settings_for(f"http://127.0.0.1:{free_port()}", url))
    async with site.signed_in("vera", url) as browser:
        assert (await browser.get("/api/v1/me")).status_code == 200
    async with site.browser(url) as browser:
        answer = await browser.get("/sign-in/oidc")
        assert (answer.status_code, "does not answer" in answer.text) == (502, True)
    await site.access.close()


async def test_a_session_ends_when_groups_mean_something_else(world: World, tmp_path: Path) -> None:
    settings = settings_for(world.issuer, world.url)
    async with world.browser() as browser:
        await world.signed_in(browser, "ada")
        credentials = Credentials(session=browser.cookies["saga_session"])
    for changed, name in (({}, "ada"), ({"access_oidc_admins": "root"}, None)):
        engine = open_model(f"sqlite:///{tmp_path}/sagas.db")  # a server that is started anew
        restarted = access_of(engine, lambda: NOW_MS, **{**settings, **changed})
        principal = await restarted.identify(credentials)
        assert (principal and principal.name) == name
        await restarted.close()
