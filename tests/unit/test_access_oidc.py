"""What an OpenID provider says is believed only if it is signed by it, for us, now, and for this sign-in."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.served import free_port
from tracker.access.errors import ProviderUnusable, SignInRefused
from tracker.access.oidc import Begun, Provider
from tracker.access.role import Role
from tracker.access.settings import AccessSettings

SITE = "https://sagas.example.com"
SECRET = "a secret that both of us know, long enough"
KEY = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "1"})
BEGUN = Begun.new("/")
ANSWER = {"state": BEGUN.state, "code": "code"}


def by_hand(header: dict[str, str], claims: dict[str, Any], key: bytes | None) -> str:
    """A token that no library of honest people makes: signed with a public key, or with none."""
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    told = b".".join(parts)
    signature = b"" if key is None else hmac.digest(key, told, "sha256")
    return (told + b"." + urlsafe_b64encode(signature).rstrip(b"=")).decode()


class Liar:
    """A provider that says what a test has it say."""

    def __init__(self) -> None:
        port = free_port()
        self.port = port
        self.issuer = f"http://127.0.0.1:{port}"
        self.discovery: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=a",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
        }
        self.claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": "id-1",
            "aud": "saga",
            "exp": time.time() + 300,
            "iat": time.time(),
            "nonce": BEGUN.nonce,
            "preferred_username": "ada",
            "groups": ["admins"],
        }
        self.userinfo: dict[str, Any] = {"sub": "id-1", "groups": ["admins"]}
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: jwt.encode(
            {"alg": "RS256", "kid": "1"}, claims, KEY
        )
        self.asked: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        match request.path:
            case "/.well-known/openid-configuration":
                return web.json_response(self.discovery)
            case "/keys":
                return web.json_response({"keys": [KEY.as_dict(private=False)]})
            case "/token":
                self.asked.append({name: str(value) for name, value in (await request.post()).items()})
                return web.json_response({"access_token": "t", "id_token": self.sign(self.claims)})
        return web.json_response(self.userinfo)


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    found = Liar()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", found.port).start()
    yield found
    await runner.cleanup()


@pytest.fixture
async def ours(liar: Liar) -> AsyncIterator[Provider]:
    provider = provider_for(liar)
    yield provider
    await provider.close()


def provider_for(liar: Liar, **settings: str) -> Provider:
    how = {
        "access_url": SITE,
        "access_oidc_issuer": liar.issuer,
        "access_oidc_client_id": "saga",
        "access_oidc_admins": "admins",
        **settings,
    }
    return Provider(AccessSettings().model_copy(update=how))


async def test_who_is_told_truly_is_believed(liar: Liar, ours: Provider) -> None:
    known = await ours.finish(BEGUN, ANSWER)

    assert (known.name, known.role) == ("ada", Role.ADMIN)
    (asked,) = liar.asked
    assert asked["code_verifier"] == BEGUN.verifier
    assert f"code_challenge={create_s256_code_challenge(BEGUN.verifier)}" in await ours.sign_in_url(BEGUN)


@pytest.mark.parametrize(
    "lie",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another client"},
        {"aud": ["saga", "another client"], "azp": "another client"},
        {"aud": []},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"iat": 2**33},
        {"nbf": 2**33},
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"sub": None},
        {"at_hash": "of another token"},
    ],
    ids=str,
)
async def test_claims_that_are_not_for_this_sign_in_are_refused(
    liar: Liar, ours: Provider, lie: dict[str, Any]
) -> None:
    liar.claims |= lie
    liar.claims = {name: value for name, value in liar.claims.items() if value is not None}

    with pytest.raises(ProviderUnusable, match="can't be trusted"):
        await ours.finish(BEGUN, ANSWER)


@pytest.mark.parametrize(
    "sign",
    [
        lambda claims: jwt.encode({"alg": "RS256", "kid": "1"}, claims, OTHER_KEY),
        lambda claims: jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET)),
        lambda claims: by_hand({"alg": "HS256"}, claims, KEY.as_pem(private=False)),
        lambda claims: by_hand({"alg": "none"}, claims, None),
        lambda claims: jwt.encode({"alg": "RS256", "kid": "1"}, claims, KEY)[:-8] + "AAAAAAAA",
        lambda claims: "no token",
        lambda claims: "a.b.c",
        lambda claims: "",
    ],
    ids=["another key", "our secret", "its public key", "none", "changed", "text", "dots", "empty"],
)
async def test_tokens_that_it_has_not_signed_are_refused(
    liar: Liar, ours: Provider, sign: Callable[[dict[str, Any]], str]
) -> None:
    liar.sign = sign

    with pytest.raises(ProviderUnusable, match="can't be trusted"):
        await ours.finish(BEGUN, ANSWER)


async def test_user_information_about_somebody_else_is_refused(liar: Liar, ours: Provider) -> None:
    del liar.claims["groups"]
    assert (await ours.finish(BEGUN, ANSWER)).role is Role.ADMIN
    liar.userinfo["sub"] = "id-2"

    with pytest.raises(ProviderUnusable, match="somebody else"):
        await ours.finish(BEGUN, ANSWER)


async def test_another_issuer_than_the_settings_name_is_refused(liar: Liar, ours: Provider) -> None:
    liar.discovery["issuer"] = "https://evil.example"

    with pytest.raises(ProviderUnusable, match=r"names itself 'https://evil.example'"):
        await ours.finish(BEGUN, ANSWER)


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("value", [None, "", "javascript:alert(1)", 7])
async def test_a_discovery_that_lacks_something_is_named(
    liar: Liar, ours: Provider, name: str, value: object
) -> None:
    liar.discovery[name] = value

    with pytest.raises(ProviderUnusable, match=f"where its {name} is"):
        await ours.finish(BEGUN, ANSWER)


@pytest.mark.parametrize(
    ("claim", "value", "role"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["x", "admins"]}}, Role.ADMIN),
        ("https://example.com/groups", {"https://example.com/groups": ["staff"]}, Role.VIEWER),
        ("role", {"role": "admins"}, Role.ADMIN),
        ("role", {"role": "not-admins"}, None),
        ("role", {"role": {"admins": 1}}, Role.ADMIN),
        ("role", {"role": [["admins"], None, 7]}, None),
        ("role", {"role": 7}, None),
        ("role.deep.er", {"role": "admins"}, None),
    ],
)
async def test_roles_are_found_where_the_settings_say(
    liar: Liar, claim: str, value: dict[str, Any], role: Role | None
) -> None:
    ours = provider_for(liar, access_oidc_roles_claim=claim, access_oidc_viewers="staff")
    del liar.claims["groups"], liar.userinfo["groups"]
    liar.claims |= value
    if role is None:
        with pytest.raises(SignInRefused, match="ada has no role here"):
            await ours.finish(BEGUN, ANSWER)
    else:
        assert (await ours.finish(BEGUN, ANSWER)).role is role
    await ours.close()


async def test_everybody_may_be_a_viewer(liar: Liar) -> None:
    ours = provider_for(liar, access_oidc_viewers="*")
    liar.claims["groups"] = ["nothing"]

    assert (await ours.finish(BEGUN, ANSWER)).role is Role.VIEWER
    await ours.close()


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("a\r\nINFO forged\x1b[31m\u202e", "aINFO forged[31m"),
        ("x" * 500, "x" * 100),
        ("", "id-1"),
        ("\n", "id-1"),
        (7, "7"),
    ],
)
async def test_a_name_is_one_short_line_of_text(liar: Liar, ours: Provider, told: object, shown: str) -> None:
    liar.claims["preferred_username"] = told

    assert (await ours.finish(BEGUN, ANSWER)).name == shown
