"""Every request and every socket passes here first: from our own site, by somebody who is signed in."""

import asyncio
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracker.access.access import Access, Asker, Credentials
from tracker.access.address import Way, way_of
from tracker.access.errors import AccessRefused, CrossSite, SignInNeeded
from tracker.access.headers import security_headers
from tracker.access.origin import (
    SAFE_METHODS,
    cross_site,
    cross_site_socket,
    host_name,
    is_loopback,
    origin_of,
)
from tracker.access.permit import SCOPE_KEY
from tracker.access.problem import problem

LOOK_AGAIN_SECONDS = 5.0
PUBLIC_PATHS = frozenset({"/sign-in", "/sign-in/oidc", "/sign-in/oidc/callback", "/sign-out"})
SESSION_COOKIE = "saga_session"
_POLICY_VIOLATION = 1008


def cookie_name(name: str, https: bool) -> str:
    """The name of a cookie of ours; over https one that browsers take from this very host only."""
    return f"__Host-{name}" if https else name


class Guard:
    """ASGI middleware around everything else."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        public_paths: Collection[str] = PUBLIC_PATHS,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        self._app = app
        self._access = access
        self._public_paths = public_paths
        self._look_again_seconds = look_again_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        way = self._way(scope, headers)
        _tell(scope, way, "https" if self._https(way) else "http")
        answer = _Answer(send, self._https(way))
        try:
            self._check_host(headers, way)
            credentials = credentials_of(headers, self._https(way))
            if not credentials.token:
                why = cross_site(scope["method"], headers, self._origins(headers, way))
                if why:
                    raise CrossSite(f"this request is refused: {why}")
            asker = await self._asker(credentials, way)
            if asker.principal is None and scope["path"] not in self._public_paths:
                raise SignInNeeded("sign in first, or send an API token as `Authorization: Bearer`")
        except AccessRefused as error:
            response = _to_sign_in(scope, headers) if isinstance(error, SignInNeeded) else None
            await (response or problem(error, scope["path"]))(scope, receive, answer.send)
            return
        scope[SCOPE_KEY] = asker
        if asker.principal is not None:
            answer.lasting = _Lasting(asker, self._look_again_seconds)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            # What was cut off because its session ended has not failed.
            if answer.lasting is None or not answer.lasting.over:
                raise

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        way = self._way(scope, headers)
        _tell(scope, way, "wss" if self._https(way) else "ws")
        try:
            self._check_host(headers, way)
            credentials = credentials_of(headers, self._https(way))
            why = cross_site_socket(headers, self._origins(headers, way))
            if why:
                raise CrossSite(f"this socket is refused: {why}")
            asker = await self._asker(credentials, way)
            if asker.principal is None:
                raise SignInNeeded("sign in first")
        except AccessRefused:
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        scope[SCOPE_KEY] = asker
        lasting = _Lasting(asker, self._look_again_seconds)

        async def heard() -> Message:
            # Whoever is connected says something every few seconds, if only that it is there.
            message = await receive()
            if message["type"] == "websocket.receive" and not await lasting.goes_on():
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}
            return message

        async def told(message: Message) -> None:
            if not lasting.over:
                await send(message)

        await self._app(scope, heard, told)

    async def _asker(self, credentials: Credentials, way: Way) -> Asker:
        principal = await self._access.identify(credentials)
        return Asker(self._access, credentials, way.address, principal)

    def _way(self, scope: Scope, headers: Headers) -> Way:
        client = scope.get("client")
        forwarded = ",".join(headers.getlist("x-forwarded-for"))
        proto = ",".join(headers.getlist("x-forwarded-proto"))
        return way_of(client[0] if client else "", scope["scheme"], forwarded, proto, self._access.proxies)

    def _https(self, way: Way) -> bool:
        return way.https or self._access.origin.startswith("https:")

    def _origins(self, headers: Headers, way: Way) -> Collection[str]:
        asked = origin_of(f"{'https' if way.https else 'http'}://{headers.get('host', '')}")
        return {asked, self._access.origin} - {""}

    def _check_host(self, headers: Headers, way: Way) -> None:
        """A name that is not ours may be another site's, which has made it point here (DNS rebinding)."""
        if way.proxied:
            return
        name = host_name(headers.get("host", ""))
        ours = host_name(self._access.origin.partition("//")[2])
        if is_loopback(name) or (ours and name == ours):
            return
        if ours or self._access.everybody is not None:
            raise CrossSite(
                f"{name[:100]!r} is not the name of this server: open it under its own name, or name it in "
                "SAGA_ACCESS_URL"
            )


class _Lasting:
    """Looks again, while an answer or a socket lasts, whether its asker is still somebody."""

    def __init__(self, asker: Asker, every_seconds: float) -> None:
        self._asker = asker
        self._every_seconds = every_seconds
        self._clock = asyncio.get_running_loop().time
        self._next = self._clock() + every_seconds
        self.over = False

    async def goes_on(self) -> bool:
        if not self.over and self._clock() >= self._next:
            self._next = self._clock() + self._every_seconds
            # With another role as well: what lasts was begun with the one before.
            self.over = await self._asker.access.identify(self._asker.credentials) != self._asker.principal
        return not self.over


class _Answer:
    """An answer on its way out: it gets its headers, and ends with the session it is for."""

    def __init__(self, send: Send, https: bool) -> None:
        self._send = send
        self._https = https
        self.lasting: _Lasting | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in security_headers(headers.get("content-type", ""), self._https).items():
                headers.setdefault(name, value)
        elif self.lasting is not None and not await self.lasting.goes_on():
            raise OSError("the session of this answer has ended")
        await self._send(message)


def credentials_of(headers: Headers, https: bool) -> Credentials:
    """What a request brings. Whoever sends a token is asked for nothing else: no cookie goes for it."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return Credentials(token=token.strip() or "-")
    return Credentials(session=cookie_of(headers, cookie_name(SESSION_COOKIE, https)))


def cookie_of(headers: Headers, name: str) -> str:
    """The value of a cookie, "" without one."""
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            try:
                found = SimpleCookie(part.strip()).get(name)
            except CookieError:
                continue
            if found is not None:
                return found.value
    return ""


def _tell(scope: Scope, way: Way, scheme: str) -> None:
    """Nothing behind here has to know of proxies, or believes what anybody may have forwarded."""
    scope["scheme"] = scheme
    scope["client"] = (way.address, 0)
    scope["headers"] = [header for header in scope["headers"] if not header[0].startswith(b"x-forwarded-")]


def _to_sign_in(scope: Scope, headers: Headers) -> Response | None:
    """A person with a browser goes to the sign-in, and comes back."""
    page = scope["method"] in SAFE_METHODS and not scope["path"].startswith("/api/")
    if not page or "text/html" not in headers.get("accept", "") or "authorization" in headers:
        return None
    asked = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
    return RedirectResponse(f"/sign-in?next={quote(asked, safe='')}", 303)
