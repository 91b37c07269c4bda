"""The whole application behind its guard: who gets where, and what other sites and guessers can do."""

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.routing import Mount, Route

from saga.core.errors import DeclarationError
from saga.runtime.settings import KafkaSettings
from tests.access_kit import PASSWORD, KeptAudit, access_of, put_user
from tests.unit.test_flow_views import KNOWN
from tracker.access.access import Access
from tracker.access.errors import UndeclaredRole, Unprotected, UserFileUnusable
from tracker.access.guard import PUBLIC_PATHS
from tracker.access.install import install, refuse_undeclared
from tracker.access.permit import Anyone, act, permitted, principal_of
from tracker.access.role import Principal, Role
from tracker.access.secret import kept
from tracker.access.tokens import DAY_MS
from tracker.access.tries import USER_RULE
from tracker.api.app import API_PATH, create_app
from tracker.api.context import Context
from tracker.view.model.access import AccessStore
from tracker.view.model.database import open_model
from tracker.view.queries.live import Live
from tracker.view.queries.reader import Reader

NOW_MS = 1_800_000_000_000
HOST = "127.0.0.1:8080"
URL = f"http://{HOST}"
PAGE = {"accept": "text/html", "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}


@dataclass
class Site:
    """A server with the users `ada` (admin), `oskar` (operator) and `vera` (viewer)."""

    access: Access
    audit: KeptAudit
    app: FastAPI
    users: Path
    store: AccessStore
    clock: list[int] = field(default_factory=lambda: [0])

    def browser(self, url: str = URL) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=url)

    @contextlib.asynccontextmanager
    async def signed_in(self, name: str, url: str = URL) -> AsyncIterator[httpx.AsyncClient]:
        async with self.browser(url) as browser:
            answer = await sign_in(browser, name)
            assert answer.status_code == 303, answer.text
            yield browser


async def sign_in(
    browser: httpx.AsyncClient, name: str, password: str = PASSWORD, cookie: str = "", **more: str
) -> httpx.Response:
    fields = {"name": name, "password": password, **more}
    headers = {"sec-fetch-site": "same-origin", **({"cookie": f"saga_session={cookie}"} if cookie else {})}
    return await browser.post("/sign-in", data=fields, headers=headers)


def site_at(tmp_path: Path, users: bool = True, **settings: Any) -> Site:
    path = tmp_path / "users"
    if users:
        for name, role in (("ada", Role.ADMIN), ("oskar", Role.OPERATOR), ("vera", Role.VIEWER)):
            put_user(path, name, role)
    engine = open_model(f"sqlite:///{tmp_path}/sagas.db")
    audit, clock = KeptAudit(), [NOW_MS]
    access = access_of(engine, lambda: clock[0], audit, access_users_file=path, **settings)
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    reader = Reader(engine)
    context = Context(kafka, reader, Live(reader), lambda: KNOWN, lambda: clock[0])
    app = create_app(context, access)

    @app.post("/api/v1/acts")
    async def acts(
        request: Request, principal: Annotated[Principal, Depends(permitted(Role.OPERATOR))]
    ) -> dict[str, str]:
        await act(request, Role.OPERATOR, "cancel", "saga-1", "a reason")
        return {"by": principal.name}

    @app.get("/page", dependencies=[Depends(permitted(Role.VIEWER))])
    async def page(request: Request) -> dict[str, str]:
        return {"for": principal_of(request).name}

    return Site(access, audit, app, path, AccessStore(engine), clock)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = site_at(tmp_path)
    yield made
    await made.access.close()


@pytest.fixture
async def open_site(tmp_path: Path) -> AsyncIterator[Site]:
    made = site_at(tmp_path, users=False)
    yield made
    await made.access.close()


def concrete(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "x", path)


# Who gets where


async def test_no_route_answers_anybody_who_is_not_signed_in(site: Site) -> None:
    walked = 0
    async with site.browser() as browser:
        for route in iter_route_contexts(site.app.routes):
            if isinstance(route.original_route, Mount) or route.path in PUBLIC_PATHS:
                continue
            for method in route.methods or ():
                answer = await browser.request(method, concrete(route.path or ""))
                assert answer.status_code == 401, (method, route.path)
                walked += 1
    assert walked > 8


async def test_every_route_that_changes_something_is_refused_to_a_viewer_or_is_theirs(site: Site) -> None:
    refused = set()
    async with site.signed_in("vera") as browser:
        for route in iter_route_contexts(site.app.routes):
            for method in (route.methods or set()) - {"GET", "HEAD"}:
                if route.path not in PUBLIC_PATHS:
                    answer = await browser.request(method, concrete(route.path or ""))
                    refused.add((method, route.path, answer.status_code))
    assert {("POST", "/api/v1/acts", 403), ("POST", "/api/v1/tokens", 403)} <= refused


def test_an_application_with_a_route_that_declares_no_role_does_not_start(site: Site) -> None:
    refuse_undeclared(site.app)
    site.app.add_api_route("/api/v1/forgotten", lambda: "all", methods=["DELETE"])

    with pytest.raises(UndeclaredRole, match=r"/api/v1/forgotten: give it Depends\(permitted"):
        refuse_undeclared(site.app)


@pytest.mark.parametrize(
    "route",
    [
        Route("/plain", lambda request: None),
        APIRoute("/anyone", lambda: None, dependencies=[Depends(Anyone())]),
    ],
)
def test_plain_routes_and_those_for_anyone_are_no_way_around_it(route: Route) -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.router.routes.append(route)

    with pytest.raises(UndeclaredRole, match=route.path):
        refuse_undeclared(app)
    if route.path == "/anyone":
        refuse_undeclared(app, {"/anyone"})


async def test_the_look_at_routes_is_part_of_the_start(site: Site) -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    install(app, site.access, API_PATH)
    app.add_api_route("/forgotten", lambda: "all")

    with pytest.raises(UndeclaredRole):
        async with app.router.lifespan_context(app):
            pass


async def test_what_is_behind_the_guard_sees_the_address_that_can_be_believed(tmp_path: Path) -> None:
    for proxies, address in (("", "127.0.0.1"), ("127.0.0.0/8", "192.0.2.9")):
        site = site_at(tmp_path, access_proxies=proxies)

        @site.app.get("/seen", dependencies=[Depends(permitted(Role.VIEWER))])
        async def seen(request: Request) -> list[object]:
            forwarded = [name for name in request.headers if name.startswith("x-forwarded")]
            return [request.client.host if request.client else "", forwarded]

        async with site.signed_in("vera") as browser:
            evil = {"x-forwarded-for": "6.6.6.6, 192.0.2.9", "x-forwarded-prefix": "//evil.example"}
            assert (await browser.get("/seen", headers=evil)).json() == [address, []]
        await site.access.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "sagas.example.com"])
def test_nobody_listens_to_others_without_users(tmp_path: Path, host: str) -> None:
    with pytest.raises(Unprotected, match="saga users add"):
        access_of(open_model(f"sqlite:///{tmp_path}/sagas.db"), host=host)


def test_with_a_user_it_may_listen_everywhere(tmp_path: Path) -> None:
    put_user(tmp_path / "users", "ada", Role.ADMIN)

    access = access_of(
        open_model(f"sqlite:///{tmp_path}/sagas.db"), host="0.0.0.0", access_users_file=tmp_path / "users"
    )

    assert access.everybody is None


def test_a_user_file_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    put_user(tmp_path / "users", "ada", Role.ADMIN)
    (tmp_path / "users").chmod(0o644)

    with pytest.raises(UserFileUnusable, match="chmod 600"):
        access_of(open_model(f"sqlite:///{tmp_path}/sagas.db"), access_users_file=tmp_path / "users")


async def test_on_loopback_without_users_everybody_is_the_local_admin(open_site: Site) -> None:
    async with open_site.browser() as browser:
        me = (await browser.get("/api/v1/me")).json()
        assert (me["role"], me["how"]) == ("admin", "local")
        assert me["name"]
        assert (await browser.get("/sign-in")).headers["location"] == "/"


async def test_with_the_first_user_everybody_signs_in_and_that_is_never_taken_back(open_site: Site) -> None:
    async with open_site.browser() as browser:
        assert (await browser.get("/api/v1/me")).status_code == 200
        put_user(open_site.users, "ada", Role.ADMIN)
        assert (await browser.get("/api/v1/me")).status_code == 401
        open_site.users.unlink()
        assert (await browser.get("/api/v1/me")).status_code == 401


async def test_pages_lead_to_the_sign_in_and_back(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.get("/page?a=b&c=%2F", headers=PAGE)
        assert answer.status_code == 303
        form = await browser.get(answer.headers["location"], headers=PAGE)
        wanted = re.search(r'name="next" value="([^"]*)"', form.text)
        assert wanted is not None
        answer = await sign_in(browser, "vera", next=wanted[1].replace("&amp;", "&"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/page?a=b&c=%2F")
        assert (await browser.get("/page")).json() == {"for": "vera"}


async def test_the_api_answers_with_a_problem_and_redirects_nobody(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.get("/api/v1/me", headers=PAGE)

    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.headers["www-authenticate"] == 'Bearer realm="saga"'
    assert answer.json()["type"] == "urn:saga:problem:sign-in-needed"


async def test_a_role_that_is_taken_away_is_gone_at_the_next_request(site: Site) -> None:
    async with site.signed_in("oskar") as browser:
        assert (await browser.post("/api/v1/acts")).json() == {"by": "oskar"}
        put_user(site.users, "oskar", Role.VIEWER)
        assert (await browser.post("/api/v1/acts")).status_code == 403
        assert (await browser.get("/api/v1/me")).json()["role"] == "viewer"
        put_user(site.users, "oskar", None)
        assert (await browser.get("/api/v1/me")).status_code == 401


async def test_another_password_ends_the_sessions_of_the_old_one(site: Site) -> None:
    from tracker.access.password import hashed

    async with site.signed_in("oskar") as browser:
        put_user(site.users, "oskar", Role.OPERATOR, hashed("another long password"))
        assert (await browser.get("/api/v1/me")).status_code == 401
        assert (await sign_in(browser, "oskar")).status_code == 403
        assert (await sign_in(browser, "oskar", "another long password")).status_code == 303


# Sessions


async def test_a_session_has_a_new_name_at_each_sign_in_and_only_its_hash_is_kept(site: Site) -> None:
    async with site.browser() as browser:
        await sign_in(browser, "vera", cookie="chosen-by-an-attacker")
        first = browser.cookies["saga_session"]
        await sign_in(browser, "vera")
        second = browser.cookies["saga_session"]

    assert len({"chosen-by-an-attacker", first, second}) == 3
    assert site.store.session(kept("chosen-by-an-attacker")) is None
    assert site.store.session(kept(first)) is None  # ended by the second sign-in
    assert site.store.session(second) is None
    assert site.store.session(kept(second)) is not None


async def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_http(tmp_path: Path) -> None:
    site = site_at(tmp_path, access_url="https://sagas.example.com")
    async with site.browser("https://sagas.example.com") as browser:
        answer = await sign_in(browser, "vera")
        cookie = answer.headers["set-cookie"]
        assert (await browser.get("/api/v1/me")).status_code == 200
    parts = {part.strip().lower() for part in cookie.split(";")}
    assert cookie.startswith("__Host-saga_session=")
    assert {"httponly", "secure", "samesite=lax", "path=/"} <= parts
    assert not any(part.startswith("domain") for part in parts)
    await site.access.close()


async def test_over_plain_http_there_is_no_secure_cookie_that_browsers_would_drop(
    site: Site,
) -> None:
    async with site.browser() as browser:
        cookie = (await sign_in(browser, "vera")).headers["set-cookie"]
    assert cookie.startswith("saga_session=")
    assert "secure" not in cookie.lower()
    assert "httponly" in cookie.lower()


async def test_a_session_ends_when_nothing_is_asked(site: Site) -> None:
    async with site.signed_in("vera") as browser:
        for _ in range(3):
            site.clock[0] += 100 * 60_000
            assert (await browser.get("/api/v1/me")).status_code == 200
            await site.access.sessions.close()  # that it was used is noted beside the request
        site.clock[0] += 120 * 60_000
        assert (await browser.get("/api/v1/me")).status_code == 401


async def test_a_session_ends_after_its_hours_whatever_is_asked(site: Site) -> None:
    async with site.signed_in("vera") as browser:
        for _ in range(11):
            site.clock[0] += 3_600_000
            assert (await browser.get("/api/v1/me")).status_code == 200
            await site.access.sessions.close()
        site.clock[0] += 3_600_000
        assert (await browser.get("/api/v1/me")).status_code == 401


async def test_signing_out_ends_the_session_on_the_server(site: Site) -> None:
    async with site.signed_in("vera") as browser:
        name = browser.cookies["saga_session"]
        assert "vera" in (await browser.get("/sign-out")).text
        assert (await browser.get("/api/v1/me")).status_code == 200  # a link signs nobody out
        site.audit.down = True
        answer = await browser.post("/sign-out")
        assert answer.status_code == 200
        assert "saga_session" not in browser.cookies
        browser.cookies.set("saga_session", name)
        assert (await browser.get("/api/v1/me")).status_code == 401


async def test_what_another_server_has_ended_counts_two_seconds_later_at_the_latest(site: Site) -> None:
    async with site.signed_in("vera") as browser:
        assert (await browser.get("/api/v1/me")).status_code == 200
        site.store.end_session(kept(browser.cookies["saga_session"]))
        site.clock[0] += 2_000
        assert (await browser.get("/api/v1/me")).status_code == 401


# Other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9090"},
    ],
)
async def test_a_form_of_another_site_does_nothing_in_the_name_of_who_is_signed_in(
    site: Site, headers: dict[str, str]
) -> None:
    async with site.signed_in("ada") as browser:
        before = list(site.audit.records)
        for method, path in (("POST", "/api/v1/acts"), ("POST", "/sign-out"), ("POST", "/sign-in")):
            answer = await browser.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:saga:problem:cross-site")
        assert (await browser.get("/api/v1/me")).status_code == 200
    assert site.audit.records == before


async def test_without_users_other_sites_can_do_nothing_either(open_site: Site) -> None:
    evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    async with open_site.browser() as browser:
        assert (await browser.post("/api/v1/acts", headers=evil)).status_code == 403
        assert (await browser.post("/api/v1/acts", headers={"origin": URL})).status_code == 200
        assert (await browser.post("/api/v1/acts")).status_code == 200  # a program of this machine


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "["])
async def test_a_name_that_was_made_to_point_here_is_refused(open_site: Site, host: str) -> None:
    async with open_site.browser() as browser:
        answer = await browser.get("/api/v1/me", headers={"host": host})
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:saga:problem:cross-site")


async def test_with_a_url_only_its_name_and_this_machine_are_answered(tmp_path: Path) -> None:
    site = site_at(tmp_path, access_url="https://sagas.example.com")
    async with site.browser() as browser:
        for host, status in (("sagas.example.com", 200), ("localhost:1", 200), ("evil.example", 403)):
            assert (await browser.get("/sign-in", headers={"host": host})).status_code == status
    await site.access.close()


# Tokens


async def made_token(site: Site, role: str, days: int = 1, **more: Any) -> dict[str, Any]:
    async with site.signed_in("ada") as browser:
        wanted = {"name": "ci", "role": role, "days": days, "reason": "for the test", **more}
        answer = await browser.post("/api/v1/tokens", json=wanted)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made


async def test_a_token_gives_its_role_until_it_is_revoked(site: Site) -> None:
    made = await made_token(site, "operator")
    bearer = {"authorization": f"Bearer {made['secret']}"}
    async with site.browser() as program:
        assert (await program.get("/api/v1/me", headers=bearer)).json() == {
            "name": "ci",
            "role": "operator",
            "how": "token",
        }
        # A program has no other site: what browsers say of them is not asked.
        evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        assert (await program.post("/api/v1/acts", headers={**bearer, **evil})).status_code == 200
        assert (await program.get("/api/v1/tokens", headers=bearer)).status_code == 403
        async with site.signed_in("ada") as browser:
            (told,) = (await browser.get("/api/v1/tokens")).json()
            assert "secret" not in told
            assert (told["name"], told["role"], told["made_by"]) == ("ci", "operator", "ada")
            assert (await browser.delete(f"/api/v1/tokens/{made['id']}")).status_code == 422  # why?
            gone = await browser.delete(f"/api/v1/tokens/{made['id']}", params={"reason": "done"})
            assert gone.status_code == 204
            again = await browser.delete(f"/api/v1/tokens/{made['id']}", params={"reason": "done"})
            assert again.status_code == 404
        assert (await program.get("/api/v1/me", headers=bearer)).status_code == 401
    assert [
        (record.action, record.by, record.reason) for record in site.audit.records if "." in record.action
    ] == [
        ("token.create", "ada", "for the test"),
        ("token.revoke", "ada", "done"),
        ("token.revoke", "ada", "done"),
    ]


async def test_only_a_hash_of_a_token_is_kept_and_when_it_was_used(site: Site) -> None:
    made = await made_token(site, "viewer")
    (row,) = site.store.tokens()
    assert (row.hash, row.used_ms) == (kept(made["secret"]), None)
    assert made["secret"] not in str(row)

    async with site.browser() as program:
        site.clock[0] += 1_000
        await program.get("/api/v1/me", headers={"authorization": f"Bearer {made['secret']}"})
    await site.access.tokens.close()
    assert site.store.tokens()[0].used_ms == site.clock[0]


async def test_a_token_expires(site: Site) -> None:
    made = await made_token(site, "viewer", days=2)
    bearer = {"authorization": f"Bearer {made['secret']}"}
    async with site.browser() as program:
        site.clock[0] += 2 * DAY_MS - 1
        assert (await program.get("/api/v1/me", headers=bearer)).status_code == 200
        site.clock[0] += 1
        assert (await program.get("/api/v1/me", headers=bearer)).status_code == 401


@pytest.mark.parametrize(
    "forged", ["", "saga_", "saga_" + "A" * 43, "eyJhbGciOiJub25lIn0.e30.", "x" * 10_000, "Ω"]
)
async def test_forged_tokens_give_nothing_even_beside_a_session(site: Site, forged: str) -> None:
    await made_token(site, "admin")
    async with site.signed_in("ada") as browser:
        headers = {b"authorization": f"Bearer {forged}".encode()}
        assert (await browser.get("/api/v1/me", headers=headers)).status_code == 401


async def test_the_hash_of_a_token_is_no_token(site: Site) -> None:
    made = await made_token(site, "admin")
    async with site.browser() as program:
        for text in (kept(made["secret"]), "saga_" + kept(made["secret"]), made["id"]):
            answer = await program.get("/api/v1/me", headers={"authorization": f"Bearer {text}"})
            assert answer.status_code == 401


@pytest.mark.parametrize(
    "wrong", [{"role": "root"}, {"days": 0}, {"days": 367}, {"name": ""}, {"name": "a\nb"}, {"reason": ""}]
)
async def test_a_token_that_can_not_be_is_refused(site: Site, wrong: dict[str, object]) -> None:
    async with site.signed_in("ada") as browser:
        wanted = {"name": "ci", "role": "viewer", "days": 1, "reason": "why", **wrong}
        answer = await browser.post("/api/v1/tokens", json=wanted)
        assert answer.status_code == 422, answer.text
    assert not site.store.tokens()


# Guessing


async def test_nobody_learns_whether_there_is_such_a_user(site: Site) -> None:
    async with site.browser() as browser:
        known = await sign_in(browser, "vera", "a wrong long password")
        unknown = await sign_in(browser, "nobody", "a wrong long password")

    assert known.status_code == unknown.status_code == 403
    assert known.text.replace("vera", "NAME") == unknown.text.replace("nobody", "NAME")
    assert "set-cookie" not in known.headers


async def test_guessing_has_to_wait_whoever_is_guessed(site: Site) -> None:
    for name in ("vera", "nobody"):
        async with site.browser() as browser:
            for _ in range(USER_RULE.free):
                assert (await sign_in(browser, name, "a wrong long password")).status_code == 403
            right = await sign_in(browser, name)
            assert (right.status_code, right.headers["retry-after"]) == (429, "1")
            site.clock[0] += 1_000
            assert (await sign_in(browser, "vera" if name == "vera" else "ada")).status_code == 303


async def test_guessing_many_names_from_one_address_has_to_wait_too(site: Site) -> None:
    async with site.browser() as browser:
        answers = [await sign_in(browser, f"user{number}", "password1234") for number in range(21)]
        assert [answer.status_code for answer in answers] == [403] * 20 + [429]
        assert (await sign_in(browser, "vera")).status_code == 429


async def test_a_huge_form_is_refused(site: Site) -> None:
    async with site.browser() as browser:
        assert (await sign_in(browser, "vera", "x" * 100_000)).status_code == 403


# The audit log


async def test_sign_ins_are_written_down_and_a_password_typed_as_a_name_is_not(site: Site) -> None:
    async with site.browser() as browser:
        await sign_in(browser, "vera")
        await sign_in(browser, "vera", "wrong")
        await sign_in(browser, PASSWORD, "wrong")
        await browser.post("/sign-out")

    told = [(record.by, record.role, record.action, record.outcome) for record in site.audit.records]
    assert told == [
        ("vera", "viewer", "sign-in", "allowed"),
        ("vera", "", "sign-in", "refused"),
        ("somebody unknown", "", "sign-in", "refused"),
        ("vera", "", "sign-out", "allowed"),
    ]
    assert {record.from_ for record in site.audit.records} == {"127.0.0.1"}
    assert PASSWORD not in str(site.audit.records)


async def test_what_somebody_may_not_do_is_written_down_and_not_each_time_they_try(site: Site) -> None:
    async with site.signed_in("vera") as browser:
        for _ in range(3):
            assert (await browser.post("/api/v1/acts")).status_code == 403
        site.audit.down = True
        assert (await browser.post("/api/v1/tokens")).status_code == 403

    told = [(record.by, record.action, record.object, record.outcome) for record in site.audit.records[1:]]
    assert told == [("vera", "POST /api/v1/acts", "/api/v1/acts", "refused")]


async def test_what_can_not_be_written_down_is_not_done(site: Site) -> None:
    async with site.signed_in("ada") as browser:
        site.audit.down = True
        answer = await browser.post("/api/v1/acts")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:saga:problem:audit-unavailable")
        wanted = {"name": "ci", "role": "viewer", "days": 1, "reason": "why"}
        assert (await browser.post("/api/v1/tokens", json=wanted)).status_code == 503
        assert not site.store.tokens()
        assert (await browser.get("/api/v1/me")).status_code == 200  # reading goes on
    async with site.browser() as browser:
        assert (await sign_in(browser, "vera")).status_code == 503
        assert not browser.cookies


async def test_what_somebody_may_not_is_written_down_as_refused(site: Site) -> None:
    async with site.signed_in("oskar") as browser:
        request: list[Request] = []

        @site.app.get("/kept", dependencies=[Depends(permitted(Role.VIEWER))])
        async def kept_page(asked: Request) -> None:
            request.append(asked)

        await browser.get("/kept")
        assert await act(request[0], Role.OPERATOR, "skip", "saga-1", "why") == Principal(
            "oskar", Role.OPERATOR, "password"
        )
        put_user(site.users, "oskar", Role.VIEWER)  # while the page is open
        with contextlib.suppress(Exception):
            await act(request[0], Role.OPERATOR, "skip", "saga-1", "why")
    assert [(record.action, record.role, record.outcome) for record in site.audit.records[-2:]] == [
        ("skip", "operator", "allowed"),
        ("skip", "viewer", "refused"),
    ]


# What a browser is told


async def test_every_answer_has_the_headers_that_protect_it(site: Site) -> None:
    async with site.signed_in("ada") as browser:
        for path in ("/sign-in", "/api/v1/me", "/nothing", "/sign-out", "/api/v1/openapi.json"):
            headers = (await browser.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["referrer-policy"] == "same-origin"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "strict-transport-security" not in headers
    async with site.browser() as stranger:
        assert "frame-ancestors" in (await stranger.get("/api/v1/me")).headers["content-security-policy"]


async def test_over_https_browsers_come_back_by_https_only(tmp_path: Path) -> None:
    site = site_at(tmp_path, access_proxies="127.0.0.1")
    async with site.browser() as browser:
        plain = await browser.get("/sign-in")
        proxied = await browser.get("/sign-in", headers={"x-forwarded-proto": "https"})
    assert "strict-transport-security" not in plain.headers
    assert proxied.headers["strict-transport-security"] == "max-age=31536000"
    await site.access.close()


async def test_a_forwarded_address_of_a_stranger_is_not_believed(site: Site) -> None:
    async with site.browser() as browser:
        for number in range(21):
            browser.headers["x-forwarded-for"] = f"192.0.2.{number}"
            answer = await sign_in(browser, f"user{number}", "password1234")
    assert answer.status_code == 429


async def test_the_sign_in_page_runs_nothing_and_shows_what_was_typed_as_text(site: Site) -> None:
    typed = '"><script>alert(1)</script>\r\nset-cookie: a=b'
    async with site.browser() as browser:
        answer = await sign_in(browser, typed, "wrong", next=typed)

    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "set-cookie" not in answer.headers
    assert 'name="next" value="/"' in answer.text


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\r\nlocation: https://evil.example",
        "/\t/evil.example",
    ],
)
async def test_the_sign_in_sends_nobody_to_another_site(site: Site, wanted: str) -> None:
    async with site.browser() as browser:
        answer = await sign_in(browser, "vera", next=wanted)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        again = await browser.get("/sign-in", params={"next": wanted})
        assert (again.status_code, again.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"access_oidc_client_id": ""}, "CLIENT_ID"),
        ({"access_url": ""}, "SAGA_ACCESS_URL"),
        ({"access_oidc_issuer": "http://login.example.com"}, "must be https"),
        ({"access_oidc_issuer": "login.example.com"}, "no URL"),
        ({"access_oidc_admins": " , "}, "nobody has a role"),
        ({"access_proxies": "proxy.example.com"}, "SAGA_ACCESS_PROXIES"),
    ],
)
async def test_settings_that_can_not_be_are_refused_at_the_start(
    tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    whole: dict[str, Any] = {
        "access_url": "https://sagas.example.com",
        "access_oidc_issuer": "https://login.example.com",
        "access_oidc_client_id": "saga",
        "access_oidc_admins": "admins",
    }
    with pytest.raises(DeclarationError, match=why):
        access_of(open_model(f"sqlite:///{tmp_path}/sagas.db"), **{**whole, **settings})
