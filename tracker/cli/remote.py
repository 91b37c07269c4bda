"""The client of the REST API: what commands ask with --url, with a token in SAGA_TOKEN."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
from msgspec import DecodeError, Struct, ValidationError, json

from saga.core.errors import SagaError
from tracker.access.origin import is_loopback

API_PATH = "/api/v1"
TOKEN = "SAGA_TOKEN"
PLAIN = "SAGA_TOKEN_OVER_HTTP"
"""Set to 1, a token is sent over plain http to other machines too."""

ANSWER_SECONDS = 60.0
SILENCE_SECONDS = 30.0
"""A stream of changes beats every ten seconds: without anything for so long it is broken."""

_BODY_MAX = 64 * 1024 * 1024
_AGAIN_SECONDS = 1.0
_PROBLEM_JSON = "application/problem+json"

Answer = TypeVar("Answer")
Params = Mapping[str, "str | int | float | bool | list[str] | None"]


class UnusableUrl(SagaError):
    """The URL or the token can't be used. The message says why, and what to do."""


class ServerUnreachable(SagaError):
    """Nobody answers at the URL, or what answers is no `saga dashboard` of this version."""


class Refused(SagaError):
    """The server says no. The message is what it says, and what to do about it.

    Attributes
    ----------
    status : of HTTP.
    name : of the problem, such as `unknown-saga`; "" if the server tells none.
    """

    def __init__(self, status: int, name: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.name = name


class _Problem(Struct):
    """A problem, as much of it as matters here (RFC 9457)."""

    type: str = ""
    title: str = ""
    detail: str = ""


class Remote:
    """Asks one server. Open it with `remote(url)`."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def get(self, path: str, kind: type[Answer], params: Params | None = None) -> Answer:
        """The document at this path below /api/v1.

        Raises
        ------
        ServerUnreachable, Refused
        """
        return await self._ask("GET", path, kind, params)

    async def post(
        self,
        path: str,
        kind: type[Answer],
        body: Mapping[str, object] | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The same for what is to be done. It is never sent twice."""
        return await self._ask("POST", path, kind, params, {} if body is None else body, headers)

    async def beats(self, interval: float) -> AsyncGenerator[None, None]:
        """At once; then whenever something has changed, and when nothing has for five intervals; on and on.

        Between two of them lies an interval of seconds at least. A stream of changes that breaks is asked for
        again with the last revision, so that nothing is missed.

        Raises
        ------
        ServerUnreachable, Refused
            The stream can't be opened for the first time, or somebody may no longer read it.
        """
        changed = asyncio.Event()
        changed.set()
        following = asyncio.create_task(self._follow(changed))
        try:
            while True:
                waiting = asyncio.create_task(changed.wait())
                await asyncio.wait(
                    {waiting, following}, timeout=5 * interval, return_when=asyncio.FIRST_COMPLETED
                )
                waiting.cancel()
                if following.done():
                    following.result()
                changed.clear()
                yield
                await asyncio.sleep(interval)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self, changed: asyncio.Event) -> None:
        revision: int | None = None
        while True:
            try:
                async for reached in self._stream(revision):
                    revision = reached
                    changed.set()
            except ServerUnreachable:
                if revision is None:
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _stream(self, since: int | None) -> AsyncIterator[int]:
        headers = {"Accept": "text/event-stream"} | ({} if since is None else {"Last-Event-ID": str(since)})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            async with self._session.get(
                f"{self._base}/live", headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise self._refused(response, await response.content.read(_BODY_MAX))
                async for line in response.content:
                    name, _, value = line.strip().partition(b": ")
                    if name == b"id" and value.isdigit():
                        yield int(value)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._unreachable(error) from error

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[Answer],
        params: Params | None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        data = None if body is None else json.encode(body)
        sent = {**(headers or {}), **({} if data is None else {"Content-Type": "application/json"})}
        try:
            async with self._session.request(
                method,
                f"{self._base}/{path}",
                params=_query(params or {}),
                data=data,
                headers=sent,
                allow_redirects=False,  # a token is for this server and no other
            ) as response:
                told = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        if response.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            raise self._refused(response, told)
        try:
            return json.decode(told, type=kind)
        except (DecodeError, ValidationError, UnicodeDecodeError) as error:
            raise ServerUnreachable(
                f"{self._base} answers with something else than this version of saga reads ({error}): "
                "is it a `saga dashboard` of the same version?"
            ) from error

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        return ServerUnreachable(f"no `saga dashboard` answers at {self._base}: {_why(error)}")

    def _refused(self, response: aiohttp.ClientResponse, told: bytes) -> SagaError:
        status = response.status
        if response.content_type != _PROBLEM_JSON:
            return ServerUnreachable(
                f"{self._base} answers with status {status}, and not as a `saga dashboard` does: "
                "is it the right URL?"
            )
        try:
            problem = json.decode(told, type=_Problem)
        except (DecodeError, ValidationError, UnicodeDecodeError):
            problem = _Problem()
        text = problem.detail or problem.title or f"status {status}"
        name = problem.type.rpartition(":")[2]
        return Refused(status, name, f"{text}{_way_out(status)}")


@asynccontextmanager
async def remote(url: str) -> AsyncIterator[Remote]:
    """A client of the server at this URL.

    Raises
    ------
    UnusableUrl
        It is none, or the token would go over the network for everybody to read.
    """
    base, token = _base(url), os.environ.get(TOKEN, "").strip()
    headers = {"Accept": "application/json", "User-Agent": "saga-cli"}
    if token:
        _check_way(url, token)
        headers["Authorization"] = f"Bearer {token}"
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Remote(session, base)


def segment(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def _base(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UnusableUrl(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise UnusableUrl(f"{url!r} is no URL of a server: https://sagas.example.com would be one")
    if parts.username or parts.password:
        raise UnusableUrl(
            f"the URL has a name or a password in it: leave them out, and put a token into {TOKEN}"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}{API_PATH}"


def _check_way(url: str, token: str) -> None:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UnusableUrl(f"{TOKEN} holds no API token: it has characters that none has")
    parts = urlsplit(url.strip())
    if parts.scheme == "http" and not is_loopback(parts.hostname or "") and os.environ.get(PLAIN) != "1":
        raise UnusableUrl(
            f"the token in {TOKEN} would go to {parts.netloc} over plain http, where others can read it: "
            f"use https, or set {PLAIN}=1 where the network is yours alone"
        )


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and (error.os_error.errno or 0) > 0:
        return os.strerror(error.os_error.errno or 0).lower()
    return str(error) or f"no answer within {ANSWER_SECONDS:g} s"


def _query(params: Params) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in params.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                found.append((name, str(each).lower() if isinstance(each, bool) else str(each)))
    return found


def _way_out(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        sent = "is it the right one, and has it not expired?" if os.environ.get(TOKEN) else "it is empty"
        return f". An API token goes into {TOKEN} ({sent}): `saga tokens` or the page of settings makes one"
    if status == HTTPStatus.FORBIDDEN:
        return ". An admin can make a token with that role: `saga tokens --help`"
    return ""
