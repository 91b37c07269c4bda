"""Who is signed in: a session for each sign-in, on the server; the browser has a random name of it."""

import asyncio

from msgspec import structs

from tracker.access.notes import Notes
from tracker.access.recent import Recent
from tracker.access.secret import kept, new_secret
from tracker.access.settings import AccessSettings
from tracker.view.model.access import AccessStore, SessionRow

_SEEN_EVERY_MS = 60_000


class Sessions:
    """Sessions in the database; their names never are."""

    def __init__(self, store: AccessStore, settings: AccessSettings) -> None:
        self._store = store
        self._idle_ms = round(settings.access_idle_minutes * 60_000)
        self._whole_ms = round(settings.access_session_hours * 3_600_000)
        self._notes = Notes()
        self._recent: Recent[SessionRow] = Recent()
        self._seen_every_ms = min(_SEEN_EVERY_MS, self._idle_ms // 4)

    @property
    def whole_seconds(self) -> int:
        """How long one lasts at most."""
        return self._whole_ms // 1000

    async def begin(
        self, name: str, how: str, now_ms: int, *, role: str = "", credential: str = "", id_token: str = ""
    ) -> str:
        """A new session; returns its name, for the cookie. An old name is never used again."""
        secret = new_secret()
        ends_ms = now_ms + self._whole_ms
        session = SessionRow(kept(secret), name, role, how, now_ms, now_ms, ends_ms, credential, id_token)
        await asyncio.to_thread(self._store.begin_session, session)
        return secret

    async def find(self, secret: str, now_ms: int) -> SessionRow | None:
        """The session of this name, unless it has ended; it counts as used."""
        session = await self._recent.get(kept(secret), now_ms, self._looked_up)
        if session is None or now_ms >= min(session.ends_ms, session.seen_ms + self._idle_ms):
            return None
        if now_ms - session.seen_ms >= self._seen_every_ms:
            self._notes.put(session.id, lambda: self._store.session_seen(session.id, now_ms))
            self._recent.put(session.id, now_ms, structs.replace(session, seen_ms=now_ms))
        return session

    async def end(self, secret: str) -> SessionRow | None:
        """End the session of this name; returns it as it was, if there was one."""
        session = await asyncio.to_thread(self._store.session, kept(secret))
        if session is not None:
            await asyncio.to_thread(self._store.end_session, session.id)
            self._recent.clear()
        return session

    async def close(self) -> None:
        """Wait until all is noted."""
        await self._notes.close()

    async def _looked_up(self, id_: str) -> SessionRow | None:
        return await asyncio.to_thread(self._store.session, id_)
