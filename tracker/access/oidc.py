"""Sign in at an OpenID provider: authorization code with PKCE, as OpenID Connect Core and RFC 9700 say."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode, urlsplit

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from saga.core.errors import DeclarationError
from tracker.access.errors import ProviderUnusable, SignInRefused
from tracker.access.origin import is_loopback, origin_of
from tracker.access.role import Role
from tracker.access.secret import new_secret
from tracker.access.settings import AccessSettings

CALLBACK_PATH = "/sign-in/oidc/callback"
NAME_LENGTH_MAX = 100
_WELL_KNOWN = "/.well-known/openid-configuration"
_TIMEOUT_SECONDS = 10.0
_LEEWAY_SECONDS = 60
_KNOWN_SECONDS = 3_600.0
_KEYS_AGAIN_SECONDS = 30.0
# Signed with a key that only the provider has: no HS256, whose key we would share, and never none.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

logger = logging.getLogger(__name__)


class Begun(NamedTuple):
    """A sign-in that has begun; the browser keeps it in a cookie until it comes back from the provider."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def new(cls, next_: str) -> Self:
        """Secrets that nobody has had."""
        return cls(new_secret(), new_secret(), new_secret(), next_)


class Known(NamedTuple):
    """Who the provider says that somebody is, and the token in which it does."""

    name: str
    role: Role
    id_token: str


class _Discovered(NamedTuple):
    at: float
    document: Mapping[str, Any]
    keys: KeySet


class Provider:
    """An OpenID provider. It is asked at the first sign-in, and again when what is known is an hour old."""

    def __init__(self, settings: AccessSettings, ask_again_seconds: float = _KEYS_AGAIN_SECONDS) -> None:
        """Keys that are unknown are asked for, so often at most.

        Raises
        ------
        DeclarationError
            The settings can't be used.
        """
        self._settings = settings
        self._ask_again_seconds = ask_again_seconds
        self._issuer = settings.access_oidc_issuer
        self._secret = settings.access_oidc_client_secret.get_secret_value()
        self._redirect_uri = origin_of(settings.access_url) + CALLBACK_PATH
        self._roles = _roles(settings)
        # What a session's role was given by: with other groups in the settings it ends.
        terms = [self._issuer, *(f"{role.text}: {sorted(names)}" for role, names in self._roles.items())]
        self.terms = hashlib.sha256("\n".join(terms).encode()).hexdigest()
        self._found: _Discovered | None = None
        self._finding = asyncio.Lock()
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False)
        _check(settings)

    async def sign_in_url(self, begun: Begun) -> str:
        """Where the browser goes now."""
        found = await self._discovered()
        url: str = prepare_grant_uri(
            _endpoint(found.document, "authorization_endpoint"),
            client_id=self._settings.access_oidc_client_id,
            response_type="code",
            redirect_uri=self._redirect_uri,
            scope=self._settings.access_oidc_scopes,
            state=begun.state,
            nonce=begun.nonce,
            code_challenge=create_s256_code_challenge(begun.verifier),
            code_challenge_method="S256",
        )
        return url

    async def finish(self, begun: Begun | None, answer: Mapping[str, str]) -> Known:
        """Who has come back from the provider; `answer` is what the browser brings in its query.

        Raises
        ------
        SignInRefused
            The provider refuses, the answer is none to this sign-in, or it gives no role here.
        ProviderUnusable
            It does not answer, or what it says can't be trusted.
        """
        if begun is None or answer.get("state") != begun.state:
            raise SignInRefused("this sign-in is unknown here, or took too long: begin again")
        found = await self._discovered()
        told = answer.get("iss")
        demanded = found.document.get("authorization_response_iss_parameter_supported") is True
        if told != self._issuer and (told is not None or demanded):
            raise SignInRefused("the answer is not of the provider that was asked: begin again")
        if "error" in answer:
            raise SignInRefused(f"the provider refuses: {answer.get('error_description') or answer['error']}")
        tokens = await self._exchanged(found.document, answer.get("code", ""), begun.verifier)
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise ProviderUnusable("the provider gave no ID token: has SAGA_ACCESS_OIDC_SCOPES `openid`?")
        claims = await self._claims(found, id_token, begun.nonce, tokens.get("access_token"))
        claims = await self._with_userinfo(found.document, claims, tokens.get("access_token"))
        name = self._name(claims)
        role = self._role(claims)
        if role is None:
            raise SignInRefused(
                f"{name} has no role here: no group in the claim {self._settings.access_oidc_roles_claim} "
                "is named in SAGA_ACCESS_OIDC_VIEWERS, _OPERATORS or _ADMINS"
            )
        return Known(name, role, id_token)

    async def sign_out_url(self, id_token: str) -> str:
        """Where a browser goes to be signed out there too; "" if the provider has no such place."""
        try:
            found = await self._discovered()
        except ProviderUnusable as error:
            logger.warning("signed out here, but not there: %s", error)
            return ""
        if "end_session_endpoint" not in found.document:
            return ""
        asked = {
            "client_id": self._settings.access_oidc_client_id,
            "id_token_hint": id_token,
            "post_logout_redirect_uri": origin_of(self._settings.access_url) + "/sign-in",
        }
        endpoint = _endpoint(found.document, "end_session_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def close(self) -> None:
        """Nobody signs in any more."""
        await self._http.aclose()

    async def _discovered(self, *, anew: bool = False) -> _Discovered:
        async with self._finding:
            found, age = self._found, time.monotonic()
            if found is not None and age - found.at < (self._ask_again_seconds if anew else _KNOWN_SECONDS):
                return found
            document = await self._json("GET", self._issuer.rstrip("/") + _WELL_KNOWN)
            if document.get("issuer") != self._issuer:
                raise ProviderUnusable(
                    f"the provider names itself {document.get('issuer')!r}: "
                    "write SAGA_ACCESS_OIDC_ISSUER exactly so, or name another one"
                )
            told = await self._json("GET", _endpoint(document, "jwks_uri"))
            try:
                keys = KeySet.import_key_set(_signing(told))  # type: ignore[arg-type]
            except (JoseError, KeyError, TypeError, ValueError) as error:
                raise ProviderUnusable(f"the provider's keys can't be read: {error}") from error
            self._found = _Discovered(time.monotonic(), document, keys)
            return self._found

    async def _exchanged(self, document: Mapping[str, Any], code: str, verifier: str) -> Mapping[str, Any]:
        data = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        client_id = self._settings.access_oidc_client_id
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        auth = None
        if self._secret and "client_secret_basic" in methods:
            # RFC 6749 2.3.1: both are encoded as in a form first.
            auth = httpx.BasicAuth(_form(client_id), _form(self._secret))
        else:
            data |= {"client_id": client_id} | ({"client_secret": self._secret} if self._secret else {})
        return await self._json("POST", _endpoint(document, "token_endpoint"), data=data, auth=auth)

    async def _claims(
        self, found: _Discovered, id_token: str, nonce: str, access_token: object
    ) -> dict[str, Any]:
        for keys in (found.keys, None):
            try:
                trusted = keys or (await self._discovered(anew=True)).keys
                token = jwt.decode(id_token, trusted, algorithms=list(_ALGORITHMS))
                break
            except (JoseError, ValueError) as error:
                # The provider may have changed its keys since we asked: it is asked once more.
                if keys is None:
                    raise ProviderUnusable(f"the ID token can't be trusted: {error}") from error
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={"iss": {"essential": True, "value": self._issuer}, "sub": {"essential": True}},
            params={
                "nonce": nonce,
                "client_id": self._settings.access_oidc_client_id,
                "access_token": access_token if isinstance(access_token, str) else None,
            },
        )
        try:
            claims.validate(leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError) as error:
            raise ProviderUnusable(f"the ID token can't be trusted: {error}") from error
        audience = token.claims.get("aud")
        for_us = audience if isinstance(audience, list) else [audience]
        if self._settings.access_oidc_client_id not in for_us:
            raise ProviderUnusable("the ID token can't be trusted: it is for somebody else")
        return dict(token.claims)

    async def _with_userinfo(
        self, document: Mapping[str, Any], claims: dict[str, Any], access_token: object
    ) -> dict[str, Any]:
        """Many providers tell groups and names only when they are asked for them."""
        settings = self._settings
        wanted = (settings.access_oidc_roles_claim, settings.access_oidc_name_claim)
        if all(_at(claims, path) is not None for path in wanted) or "userinfo_endpoint" not in document:
            return claims
        headers = {"authorization": f"Bearer {access_token}"}
        told = await self._json("GET", _endpoint(document, "userinfo_endpoint"), headers=headers)
        if told.get("sub") != claims["sub"]:
            raise ProviderUnusable("the provider tells about somebody else than has signed in")
        return {**told, **claims}

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = _at(claims, self._settings.access_oidc_name_claim) or claims["sub"]
        shown = "".join(letter for letter in str(name) if letter.isprintable()).strip()
        return shown[:NAME_LENGTH_MAX] or str(claims["sub"])[:NAME_LENGTH_MAX]

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        told = _at(claims, self._settings.access_oidc_roles_claim)
        # One, a list of them, or an object whose fields they are.
        listed = told if isinstance(told, list | dict) else [told]
        groups = {group for group in listed if isinstance(group, str)}
        roles = [role for role, names in self._roles.items() if names & groups]
        if "*" in self._roles[Role.VIEWER]:
            roles.append(Role.VIEWER)
        return max(roles, default=None)

    async def _json(self, method: str, url: str, **options: Any) -> Mapping[str, Any]:
        place = urlsplit(url).path
        try:
            answer = await self._http.request(method, url, **options)
        except httpx.HTTPError as error:
            raise ProviderUnusable(
                f"the provider does not answer at {url}: {str(error) or type(error).__name__}"
            ) from error
        try:
            told = answer.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            told = None
        if not answer.is_success or not isinstance(told, dict):
            why = told.get("error_description") or told.get("error") if isinstance(told, dict) else None
            raise ProviderUnusable(
                f"the provider answers {answer.status_code} at {place}: {why or 'no JSON'}"
            )
        return told


def _check(settings: AccessSettings) -> None:
    issuer = settings.access_oidc_issuer
    if not settings.access_oidc_client_id:
        raise DeclarationError("SAGA_ACCESS_OIDC_ISSUER needs SAGA_ACCESS_OIDC_CLIENT_ID beside it")
    if not origin_of(settings.access_url):
        raise DeclarationError(
            "OpenID Connect needs SAGA_ACCESS_URL, such as https://sagas.example.com: "
            f"the provider sends people back to {CALLBACK_PATH} there"
        )
    if not origin_of(issuer):
        raise DeclarationError(f"SAGA_ACCESS_OIDC_ISSUER is no URL: {issuer!r}")
    if urlsplit(issuer).scheme != "https" and not is_loopback(urlsplit(issuer).hostname or ""):
        raise DeclarationError(f"SAGA_ACCESS_OIDC_ISSUER must be https, not {issuer}: it says who people are")
    if not any(_roles(settings).values()):
        raise DeclarationError(
            "nobody has a role: name groups of the provider in SAGA_ACCESS_OIDC_VIEWERS, "
            "SAGA_ACCESS_OIDC_OPERATORS or SAGA_ACCESS_OIDC_ADMINS"
        )


def _roles(settings: AccessSettings) -> dict[Role, set[str]]:
    return {
        Role.VIEWER: _names(settings.access_oidc_viewers),
        Role.OPERATOR: _names(settings.access_oidc_operators),
        Role.ADMIN: _names(settings.access_oidc_admins),
    }


def _names(text: str) -> set[str]:
    return {part.strip() for part in text.split(",") if part.strip()}


def _endpoint(document: Mapping[str, Any], name: str) -> str:
    url = document.get(name)
    if not isinstance(url, str) or not origin_of(url):
        raise ProviderUnusable(f"the provider does not say where its {name} is")
    return url


def _signing(told: Mapping[str, Any]) -> dict[str, Any]:
    """Without keys for encryption, which may be of kinds that we don't know."""
    return {"keys": [key for key in told["keys"] if key.get("use", "sig") == "sig"]}


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """A claim of this very name (some are URLs), or the one that dots lead to."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _form(text: str) -> str:
    return urlencode({"": text})[1:]
