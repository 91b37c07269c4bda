"""Sign-in, sign-out, who I am, and API tokens."""

import base64
import binascii
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import DecodeError, ValidationError, json
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse, Response

from saga.core.errors import SagaError
from tracker.access.access import Access
from tracker.access.errors import AccessRefused, ProviderUnusable, SignInRefused, TooManyTries
from tracker.access.guard import SESSION_COOKIE, cookie_name, cookie_of
from tracker.access.oidc import CALLBACK_PATH, Begun
from tracker.access.origin import safe_next
from tracker.access.page import sign_in_page, sign_out_page, signed_out_page
from tracker.access.permit import Anyone, act, asker_of, permitted
from tracker.access.role import How, Principal, Role
from tracker.access.tokens import NAME_LENGTH_MAX, UnusableToken, new_token
from tracker.view.model.access import TokenRow

_FORM_BYTES_MAX = 16_384
_BEGUN_COOKIE = "saga_sign_in_"
_BEGUN_SECONDS = 600
_STATE_LENGTH = 12
_REASON_LENGTH_MAX = 500
_RoleName = Annotated[str, Field(pattern="^(viewer|operator|admin)$")]

pages = APIRouter(include_in_schema=False, dependencies=[Depends(Anyone())])
router = APIRouter(tags=["access"])


class Me(BaseModel):
    """Who I am here. `how`: local, password, oidc or token."""

    name: str
    role: _RoleName
    how: How


class NewToken(BaseModel):
    """A token that is to be made."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH_MAX)]
    role: _RoleName
    days: Annotated[int, Field(gt=0)] = 90
    reason: Annotated[str, Field(min_length=1, max_length=_REASON_LENGTH_MAX)]


class Token(BaseModel):
    """A token as it is known; times in milliseconds since the Unix epoch."""

    id: str
    name: str
    role: _RoleName
    made_by: str
    made_ms: int
    expires_ms: int
    used_ms: int | None


class MadeToken(Token):
    """A token that was just made. `secret` is shown this once."""

    secret: str


class NoSuchToken(AccessRefused):
    """There is none of this id, or no longer."""

    status = 404


class TokenRefused(AccessRefused):
    """Such a token can't be made."""

    status = 422


@pages.get("/sign-in")
async def sign_in_form(request: Request, next: str = "/") -> Response:
    """The form, or the page that was wanted if somebody is signed in."""
    if asker_of(request).principal is not None:
        return RedirectResponse(safe_next(next), 303)
    return _form(request, next)


@pages.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Name and password."""
    fields = await _fields(request)
    name, next_ = fields.get("name", ""), fields.get("next", "/")
    asker = asker_of(request)
    try:
        session = await asker.access.sign_in(name, fields.get("password", ""), asker.address)
    except AccessRefused as error:
        return _form(request, next_, error, name)
    return await _signed_in(request, session, next_)


@pages.get("/sign-in/oidc")
async def sign_in_oidc(request: Request, next: str = "/") -> Response:
    """Off to the OpenID provider."""
    provider = asker_of(request).access.provider
    if provider is None:
        return RedirectResponse("/sign-in", 303)
    begun = Begun.new(safe_next(next))
    try:
        response = RedirectResponse(await provider.sign_in_url(begun), 303)
    except ProviderUnusable as error:
        return _form(request, next, error)
    cookie = base64.urlsafe_b64encode(json.encode(begun)).decode()
    _set_cookie(request, response, _BEGUN_COOKIE + begun.state[:_STATE_LENGTH], cookie, _BEGUN_SECONDS)
    return response


@pages.get(CALLBACK_PATH)
async def sign_in_oidc_done(request: Request) -> Response:
    """Back from the OpenID provider."""
    asker = asker_of(request)
    answer = dict(request.query_params)
    cookie = _BEGUN_COOKIE + answer.get("state", "")[:_STATE_LENGTH]
    begun = _begun(cookie_of(request.headers, cookie_name(cookie, _https(request))))
    try:
        session = await asker.access.finish_oidc(begun, answer, asker.address)
    except (AccessRefused, ProviderUnusable) as error:
        return _form(request, "/" if begun is None else begun.next, error)
    response = await _signed_in(request, session, begun.next if begun is not None else "/")
    _set_cookie(request, response, cookie, "", 0)
    return response


@pages.get("/sign-out")
async def sign_out_form(request: Request) -> Response:
    """Asks first."""
    principal = asker_of(request).principal
    return RedirectResponse("/sign-in", 303) if principal is None else sign_out_page(principal.name)


@pages.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Ends the session here, and at the OpenID provider if it began there."""
    asker = asker_of(request)
    session = await asker.access.sign_out(asker.credentials.session, asker.address)
    provider = asker.access.provider
    there = await provider.sign_out_url(session.id_token) if provider and session and session.id_token else ""
    response = signed_out_page(there)
    _set_cookie(request, response, SESSION_COOKIE, "", 0)
    return response


@router.get("/me")
async def me(principal: Annotated[Principal, Depends(permitted(Role.VIEWER))]) -> Me:
    """Who I am, and what I may do."""
    return Me(name=principal.name, role=principal.role.text, how=principal.how)


@router.get("/tokens", dependencies=[Depends(permitted(Role.ADMIN))])
async def tokens(request: Request) -> list[Token]:
    """All API tokens, the oldest first."""
    return [_shown(token) for token in await asker_of(request).access.tokens.all()]


@router.post("/tokens", status_code=201, dependencies=[Depends(permitted(Role.ADMIN))])
async def make_token(request: Request, wanted: NewToken) -> MadeToken:
    """A new API token. It is shown this once: only a hash of it is kept."""
    access = asker_of(request).access
    by = asker_of(request).principal
    assert by is not None, "the dependency has seen to it"
    days_max = access.settings.access_token_days_max
    try:
        secret, token = new_token(
            wanted.name, Role.of(wanted.role), wanted.days, days_max, by.name, access.now_ms()
        )
    except UnusableToken as error:
        raise TokenRefused(str(error)) from None
    what = f"{token.id} {token.name} {token.role}"
    await act(request, Role.ADMIN, "token.create", what, wanted.reason)
    await access.tokens.add(token)
    return MadeToken(**_shown(token).model_dump(), secret=secret)


@router.delete("/tokens/{token_id}", status_code=204, dependencies=[Depends(permitted(Role.ADMIN))])
async def revoke_token(
    request: Request,
    token_id: Annotated[str, Path(max_length=64)],
    reason: Annotated[str, Query(min_length=1, max_length=_REASON_LENGTH_MAX)],
) -> Response:
    """It gives no access any more."""
    await act(request, Role.ADMIN, "token.revoke", token_id, reason)
    if not await asker_of(request).access.tokens.remove(token_id):
        raise NoSuchToken(f"there is no token {token_id!r}")
    return Response(status_code=204)


def _form(request: Request, next_: str, error: SagaError | None = None, name: str = "") -> Response:
    access: Access = asker_of(request).access
    status = error.status if isinstance(error, AccessRefused) else 502 if error else 200
    response = sign_in_page(
        next_=safe_next(next_),
        form=bool(access.users.all()),
        provider=access.provider is not None,
        error=str(error or ""),
        name=name[:NAME_LENGTH_MAX],
        status=status,
    )
    if isinstance(error, TooManyTries):
        response.headers["retry-after"] = str(error.wait_seconds)
    return response


async def _signed_in(request: Request, session: str, next_: str) -> Response:
    """Under a new name: one that was known before the sign-in is worth nothing after it."""
    asker = asker_of(request)
    if asker.credentials.session:
        await asker.access.sign_out(asker.credentials.session, asker.address)
    response = RedirectResponse(safe_next(next_), 303)
    seconds = asker.access.sessions.whole_seconds
    _set_cookie(request, response, SESSION_COOKIE, session, seconds)
    return response


async def _fields(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES_MAX:
            raise SignInRefused("this is more than a name and a password")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
    return {name: values[0] for name, values in fields.items()}


def _begun(cookie: str) -> Begun | None:
    try:
        return json.decode(base64.urlsafe_b64decode(cookie), type=Begun)
    except (DecodeError, ValidationError, binascii.Error, ValueError):
        return None


def _https(request: Request) -> bool:
    return request.url.scheme == "https"


def _set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    response.set_cookie(
        cookie_name(name, _https(request)),
        value,
        max_age=seconds,
        path="/",
        secure=_https(request),
        httponly=True,
        samesite="lax",
    )


def _shown(token: TokenRow) -> Token:
    return Token(
        id=token.id,
        name=token.name,
        role=token.role,
        made_by=token.made_by,
        made_ms=token.made_ms,
        expires_ms=token.expires_ms,
        used_ms=token.used_ms,
    )
