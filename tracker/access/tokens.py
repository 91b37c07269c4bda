"""API tokens: for programs, with a role and an end."""

import asyncio
import secrets as chance
from collections.abc import Sequence

from msgspec import structs

from saga.core.errors import SagaError
from tracker.access.notes import Notes
from tracker.access.recent import Recent
from tracker.access.role import Role
from tracker.access.secret import TOKEN_PREFIX, kept, new_secret
from tracker.view.model.access import AccessStore, TokenRow

DAY_MS = 86_400_000
NAME_LENGTH_MAX = 64
_ID_BYTES = 5
_USED_EVERY_MS = 60_000


class UnusableToken(SagaError):
    """Such a token can't be made, or there is none. The message says why."""


def new_token(name: str, role: Role, days: int, days_max: int, by: str, now_ms: int) -> tuple[str, TokenRow]:
    """The token itself, which is shown once and never kept, and what is kept of it.

    Raises
    ------
    UnusableToken
        The name is empty, too long or no printable text; or it would last too long.
    """
    name = name.strip()
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise UnusableToken(f"the name of a token has 1 to {NAME_LENGTH_MAX} printable characters")
    if not 1 <= days <= days_max:
        raise UnusableToken(f"a token lasts 1 to {days_max} days, not {days} (SAGA_ACCESS_TOKEN_DAYS_MAX)")
    secret = TOKEN_PREFIX + new_secret()
    id_ = chance.token_hex(_ID_BYTES)
    return secret, TokenRow(id_, kept(secret), name, role.text, by, now_ms, now_ms + days * DAY_MS)


class Tokens:
    """Tokens in the database."""

    def __init__(self, store: AccessStore) -> None:
        self._store = store
        self._notes = Notes()
        self._recent: Recent[TokenRow] = Recent()

    async def add(self, token: TokenRow) -> None:
        """It gives access from now on."""
        await asyncio.to_thread(self._store.add_token, token)

    async def all(self) -> Sequence[TokenRow]:
        """The oldest first; those that have expired too."""
        return await asyncio.to_thread(self._store.tokens)

    async def find(self, secret: str, now_ms: int) -> TokenRow | None:
        """The one that this is, unless it has expired; it counts as used."""
        if not secret.startswith(TOKEN_PREFIX):
            return None
        token = await self._recent.get(kept(secret), now_ms, self._looked_up)
        if token is None or now_ms >= token.expires_ms:
            return None
        if now_ms - (token.used_ms or 0) >= _USED_EVERY_MS:
            self._notes.put(token.id, lambda: self._store.token_used(token.id, now_ms))
            self._recent.put(token.hash, now_ms, structs.replace(token, used_ms=now_ms))
        return token

    async def remove(self, id_: str) -> bool:
        """It gives no access any more; whether there was one."""
        removed = await asyncio.to_thread(self._store.remove_token, id_)
        self._recent.clear()
        return removed

    async def close(self) -> None:
        """Wait until all is noted."""
        await self._notes.close()

    async def _looked_up(self, hash_: str) -> TokenRow | None:
        return await asyncio.to_thread(self._store.token, hash_)
