"""Who may do what: sign-ins, sessions, tokens, roles, and the record of it all."""

import asyncio
import getpass
import hashlib
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from tracker.access.address import counted_as, proxy_networks
from tracker.access.audit import AuditLog, audit_record
from tracker.access.errors import (
    AuditUnavailable,
    ProviderUnusable,
    SignInNeeded,
    SignInRefused,
    TooManyTries,
    Unprotected,
)
from tracker.access.oidc import Begun, Provider
from tracker.access.origin import is_loopback, origin_of
from tracker.access.password import matches
from tracker.access.recent import Recent
from tracker.access.role import Principal, Role
from tracker.access.sessions import Sessions
from tracker.access.settings import AccessSettings
from tracker.access.tokens import Tokens
from tracker.access.tries import ADDRESS_RULE, USER_RULE, Tries
from tracker.access.users import User, Users
from tracker.core.audit import Outcome
from tracker.view.model.access import AccessStore, SessionRow

REFUSED_ONCE_MS = 60_000

_HASHING_AT_ONCE = 2
_HASHING_WAITING_MAX = 50
_NOBODY_KNOWN = "somebody unknown"
"""Not the name as it was typed: people type their passwords there."""

logger = logging.getLogger(__name__)


def wall_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


class Credentials(NamedTuple):
    """What a request brings: a token, or else the name of a session; "" for none."""

    token: str = ""
    session: str = ""


class Access:
    """Who may use one server."""

    def __init__(
        self,
        settings: AccessSettings,
        store: AccessStore,
        audit: AuditLog,
        host: str,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        """`host` is the address that the server listens at.

        Raises
        ------
        Unprotected
            Others than this machine reach it, and there is no way to sign in.
        UserFileUnusable, DeclarationError
            The user file or the settings can't be used.
        """
        self.settings = settings
        self.origin = origin_of(settings.access_url)
        self.proxies = proxy_networks(settings.access_proxies)
        self.users = Users(settings.access_users_file)
        self.provider = Provider(settings) if settings.access_oidc_issuer else None
        self.sessions = Sessions(store, settings)
        self.tokens = Tokens(store)
        self.audit = audit
        self.now_ms = now_ms
        self._everybody: Principal | None = None
        self._refused: Recent[bool] = Recent(REFUSED_ONCE_MS)
        self._by_user = Tries(USER_RULE)
        self._by_address = Tries(ADDRESS_RULE)
        self._hashing = asyncio.Semaphore(_HASHING_AT_ONCE)
        self._hashing_waiting = 0
        if self.provider is None and not self.users.all():
            if not is_loopback(host):
                raise Unprotected(
                    f"nobody would have to sign in at {host}, and others reach it: add a user with "
                    "`saga users add NAME --role admin`, or name an OpenID provider in "
                    "SAGA_ACCESS_OIDC_ISSUER, or listen at 127.0.0.1"
                )
            self._everybody = Principal(_os_user(), Role.ADMIN, "local")
            logger.warning(
                "there are no users: everybody on this machine is %s, an admin, until `saga users add`",
                self._everybody.name,
            )

    @property
    def everybody(self) -> Principal | None:
        """Who everybody is where nobody signs in; None once there have been users."""
        if self._everybody is not None and self.users.all():
            logger.info("there are users now: everybody signs in from here on")
            self._everybody = None
        return self._everybody

    async def identify(self, credentials: Credentials) -> Principal | None:
        """Who this is now, with the role they have now."""
        now_ms = self.now_ms()
        if credentials.token:
            token = await self.tokens.find(credentials.token, now_ms)
            return None if token is None else Principal(token.name, Role.of(token.role), "token")
        everybody = self.everybody
        if everybody is not None:
            return everybody
        session = await self.sessions.find(credentials.session, now_ms) if credentials.session else None
        return None if session is None else self._whose(session)

    async def sign_in(self, name: str, password: str, address: str) -> str:
        """The name of a new session.

        Raises
        ------
        SignInRefused
            Name or password is wrong; nobody learns which.
        TooManyTries
            Too many were, of this name or from this address.
        AuditUnavailable
            It can't be written down.
        """
        now_ms, name = self.now_ms(), name.strip().lower()
        user_key, address_key = hashlib.sha256(_bytes(name)).hexdigest(), counted_as(address)
        wait_ms = self._by_address.begin(address_key, now_ms) or self._by_user.begin(user_key, now_ms)
        if wait_ms:
            raise TooManyTries(wait_ms)
        user = self.users.all().get(name)
        if not await self._matches(user, password) or user is None:
            by = _NOBODY_KNOWN if user is None else user.name
            reason = "there is no such user" if user is None else "the password is wrong"
            await self._record(by, "", "sign-in", reason, address, "refused")
            raise SignInRefused("name or password is wrong")
        await self._record(user.name, user.role.text, "sign-in", "password", address)
        self._by_user.succeeded(user_key)
        self._by_address.take_back(address_key)
        return await self.sessions.begin(user.name, "password", now_ms, credential=_fingerprint(user))

    async def finish_oidc(self, begun: Begun | None, answer: dict[str, str], address: str) -> str:
        """The same for somebody who comes back from the OpenID provider.

        Raises
        ------
        SignInRefused, ProviderUnusable, TooManyTries, AuditUnavailable
            They don't get in. The message says why.
        """
        if self.provider is None:
            raise SignInRefused("there is no OpenID provider here")
        now_ms, address_key = self.now_ms(), counted_as(address)
        wait_ms = self._by_address.begin(address_key, now_ms)
        if wait_ms:
            raise TooManyTries(wait_ms)
        try:
            known = await self.provider.finish(begun, answer)
        except (SignInRefused, ProviderUnusable) as error:
            await self._record(_NOBODY_KNOWN, "", "sign-in", str(error), address, "refused")
            raise
        await self._record(known.name, known.role.text, "sign-in", "oidc", address)
        self._by_address.take_back(address_key)
        return await self.sessions.begin(
            known.name,
            "oidc",
            now_ms,
            role=known.role.text,
            credential=self.provider.terms,
            id_token=known.id_token,
        )

    async def sign_out(self, session_name: str, address: str) -> SessionRow | None:
        """End a session; returns it as it was. Done even if it can't be written down."""
        session = await self.sessions.end(session_name)
        if session is not None:
            try:
                await self._record(session.name, session.role, "sign-out", "", address)
            except AuditUnavailable as error:
                logger.warning("%s", error)
        return session

    async def refused(self, principal: Principal, action: str, object_: str, address: str) -> None:
        """Write down that somebody may not do this; of the same action in a row once a minute.

        Refused it is in any case: that it can't be written down goes to the log of the process.
        """
        now_ms = self.now_ms()
        key = f"{principal.name}\0{action}"
        if self._refused.known(key, now_ms):
            return
        self._refused.put(key, now_ms, True)
        who = principal.name, principal.role.text
        record = audit_record(now_ms, *who, action, object_, address=address, outcome="refused")
        try:
            await self.audit.write(record)
        except AuditUnavailable as error:
            logger.warning("%s", error)

    async def close(self) -> None:
        """Nobody asks any more."""
        await self.sessions.close()
        await self.tokens.close()
        if self.provider is not None:
            await self.provider.close()
        await self.audit.close()

    def _whose(self, session: SessionRow) -> Principal | None:
        if session.how == "oidc":
            if self.provider is None or self.provider.terms != session.credential:
                return None  # of another provider, or its groups mean something else since
            return Principal(session.name, Role.of(session.role), "oidc")
        user = self.users.all().get(session.name)
        if user is None or _fingerprint(user) != session.credential:
            return None  # gone, or with another password since
        return Principal(user.name, user.role, "password")

    async def _matches(self, user: User | None, password: str) -> bool:
        """Each takes 64 MiB for a while: only so many at once, and only so many may wait."""
        if self._hashing_waiting >= _HASHING_WAITING_MAX:
            raise TooManyTries(1_000)
        self._hashing_waiting += 1
        try:
            async with self._hashing:
                return await asyncio.to_thread(matches, None if user is None else user.hash, password)
        finally:
            self._hashing_waiting -= 1

    async def _record(
        self, by: str, role: str, action: str, reason: str, address: str, outcome: Outcome = "allowed"
    ) -> None:
        at_ms = self.now_ms()
        await self.audit.write(
            audit_record(at_ms, by, role, action, reason=reason, address=address, outcome=outcome)
        )


class Asker:
    """Who sent one request, or opened one socket."""

    def __init__(
        self, access: Access, credentials: Credentials, address: str, principal: Principal | None
    ) -> None:
        self.access = access
        self.credentials = credentials
        self.address = address
        self.principal = principal

    async def now(self) -> Principal:
        """Who they are now, long after the request perhaps.

        Raises
        ------
        SignInNeeded
            Nobody any more.
        """
        principal = await self.access.identify(self.credentials)
        if principal is None:
            raise SignInNeeded("you are signed out: sign in again")
        return principal


def _fingerprint(user: User) -> str:
    """Of the password as it is kept: another one makes another, and it tells nothing."""
    return hashlib.sha256(user.hash.encode()).hexdigest()


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "local"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
