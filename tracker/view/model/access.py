"""Sessions and API tokens: they are not made from Kafka, so a rebuild leaves them alone. All of it blocks."""

from collections.abc import Sequence

from msgspec import Struct, structs
from sqlalchemy import BigInteger, Column, Engine, Index, Table, delete, insert, select, update

from tracker.view.model.tables import TEXT, metadata

access_sessions = Table(
    "access_sessions",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("how", TEXT, nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Column("credential", TEXT, nullable=False),
    Column("id_token", TEXT, nullable=False),
    Index("access_sessions_ends", "ends_ms"),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("hash", TEXT, nullable=False, unique=True),
    Column("name", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("made_by", TEXT, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)


class SessionRow(Struct, frozen=True):
    """A session.

    Attributes
    ----------
    id : hash of what the cookie has.
    role : as the OpenID provider told it; "" if the user file has it.
    ends_ms : then at the latest.
    credential : fingerprint of the password it began with, or of the groups that give roles: it ends when
        they are changed.
    id_token : of the OpenID provider, who wants to see it at the sign-out.
    """

    id: str
    name: str
    role: str
    how: str
    began_ms: int
    seen_ms: int
    ends_ms: int
    credential: str = ""
    id_token: str = ""


class TokenRow(Struct, frozen=True):
    """An API token; only a hash of it is kept."""

    id: str
    hash: str
    name: str
    role: str
    made_by: str
    made_ms: int
    expires_ms: int
    used_ms: int | None = None


class AccessStore:
    """The two tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin_session(self, session: SessionRow) -> None:
        """Write it; those that have ended leave."""
        with self._engine.begin() as connection:
            connection.execute(delete(access_sessions).where(access_sessions.c.ends_ms < session.began_ms))
            connection.execute(insert(access_sessions), structs.asdict(session))

    def session(self, id_: str) -> SessionRow | None:
        """The one of this id, if there is one."""
        with self._engine.connect() as connection:
            found = connection.execute(select(access_sessions).where(access_sessions.c.id == id_)).mappings()
            row = found.one_or_none()
        return None if row is None else SessionRow(**row)

    def session_seen(self, id_: str, now_ms: int) -> None:
        """Something was asked in it."""
        mine = access_sessions.c.id == id_
        with self._engine.begin() as connection:
            connection.execute(update(access_sessions).where(mine).values(seen_ms=now_ms))

    def end_session(self, id_: str) -> None:
        """There is none of this id any more."""
        with self._engine.begin() as connection:
            connection.execute(delete(access_sessions).where(access_sessions.c.id == id_))

    def add_token(self, token: TokenRow) -> None:
        """Write it."""
        with self._engine.begin() as connection:
            connection.execute(insert(access_tokens), structs.asdict(token))

    def token(self, hash_: str) -> TokenRow | None:
        """The one of this hash, if there is one."""
        with self._engine.connect() as connection:
            found = connection.execute(select(access_tokens).where(access_tokens.c.hash == hash_)).mappings()
            row = found.one_or_none()
        return None if row is None else TokenRow(**row)

    def tokens(self) -> Sequence[TokenRow]:
        """All, the oldest first."""
        query = select(access_tokens).order_by(access_tokens.c.made_ms, access_tokens.c.id)
        with self._engine.connect() as connection:
            return [TokenRow(**row) for row in connection.execute(query).mappings()]

    def token_used(self, id_: str, now_ms: int) -> None:
        """It was used at this time."""
        with self._engine.begin() as connection:
            mine = access_tokens.c.id == id_
            connection.execute(update(access_tokens).where(mine).values(used_ms=now_ms))

    def remove_token(self, id_: str) -> bool:
        """Whether there was one to remove."""
        with self._engine.begin() as connection:
            return connection.execute(delete(access_tokens).where(access_tokens.c.id == id_)).rowcount == 1
