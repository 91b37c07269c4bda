"""Searches that people have saved: not made from Kafka, so a rebuild leaves them alone. All of it blocks."""

from msgspec import Struct, structs
from sqlalchemy import BigInteger, Column, Connection, Engine, Table, delete, func, insert, select

from saga.core.errors import SagaError
from tracker.view.model.shape import stored
from tracker.view.model.tables import TEXT, metadata

VIEWS_MAX = 100
"""Of one person."""

NAME_LENGTH_MAX = 60
QUERY_LENGTH_MAX = 4_000

saved_views = Table(
    "saved_views",
    metadata,
    Column("owner", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    Column("query", TEXT, nullable=False),
    Column("saved_ms", BigInteger, nullable=False),
)


class UnusableView(SagaError):
    """A view can't be saved like that. The message says what to change."""


class SavedView(Struct, frozen=True):
    """A search under a name of its owner; `query` is what stands behind the `?` of its address."""

    owner: str
    name: str
    query: str
    saved_ms: int


def views_of(connection: Connection, owner: str) -> list[SavedView]:
    """All of one person, by name."""
    mine = saved_views.c.owner == stored(owner)
    query = select(saved_views).where(mine).order_by(saved_views.c.name)
    return [SavedView(**row) for row in connection.execute(query).mappings()]


class ViewStore:
    """The table."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, view: SavedView) -> None:
        """Keep it instead of the one of the same name, if there is one.

        Raises
        ------
        UnusableView
            It has no name, the name or the query is too long, or the owner has too many.
        """
        name = stored(view.name.strip())
        if not 0 < len(name) <= NAME_LENGTH_MAX:
            raise UnusableView(f"a view needs a name of {NAME_LENGTH_MAX} characters at most")
        if len(view.query) > QUERY_LENGTH_MAX:
            raise UnusableView(f"the search is longer than {QUERY_LENGTH_MAX:,} characters: ask for less")
        kept = structs.replace(view, owner=stored(view.owner), name=name, query=stored(view.query))
        with self._engine.begin() as connection:
            _remove(connection, kept.owner, name)
            own = select(func.count()).where(saved_views.c.owner == kept.owner)
            if (connection.scalar(own) or 0) >= VIEWS_MAX:
                raise UnusableView(f"you have {VIEWS_MAX} views already: remove one")
            connection.execute(insert(saved_views), structs.asdict(kept))

    def remove(self, owner: str, name: str) -> None:
        """There is none of this name any more."""
        with self._engine.begin() as connection:
            _remove(connection, stored(owner), stored(name))


def _remove(connection: Connection, owner: str, name: str) -> None:
    c = saved_views.c
    connection.execute(delete(saved_views).where(c.owner == owner, c.name == name))
