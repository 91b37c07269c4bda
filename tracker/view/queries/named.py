"""Which saga is meant by a part of its id, or by a business key."""

from collections.abc import Callable
from itertools import takewhile

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, func, or_, select

from tracker.view.documents.row import SagaSummary, saga_summary
from tracker.view.known import Known
from tracker.view.model.shape import stored
from tracker.view.model.tables import joined, sagas
from tracker.view.queries.bytes import sagas_of
from tracker.view.row import row_of

MATCHES_MAX = 10
COUNTED_MAX = 500
"""Of more it is not told how many there are."""

_NEAREST_MAX = 3
_LAST = "\U0010ffff"


class NamedSagas(Struct, frozen=True):
    """Sagas that may be meant, the one that moved last first; `matches`: how many are, 500 at most.

    Without any match these are named most like it.
    """

    matches: int
    sagas: list[SagaSummary]


def named_sagas(connection: Connection, known: Known, text: str, now_ms: int) -> NamedSagas:
    """Sagas with this business key, or with an id that begins so; without any those with one that ends so.

    Indexes know the first; the others take a look at each id.
    """
    name = stored(text)
    for meant in (or_(sagas.c.business_key == name, _ids(_begins, name)), _ids(_ends, name)):
        ids = list(connection.scalars(select(sagas.c.id).where(meant).limit(COUNTED_MAX)))
        if ids:
            newest = select(sagas.c.id).where(sagas.c.id.in_(ids))
            newest = newest.order_by(sagas.c.acted_ms.desc(), sagas.c.id)
            shown = list(connection.scalars(newest.limit(MATCHES_MAX)))
            return NamedSagas(len(ids), _summaries(connection, known, shown, now_ms))
    return NamedSagas(0, _summaries(connection, known, _nearest(connection, name), now_ms))


def _summaries(connection: Connection, known: Known, ids: list[str], now_ms: int) -> list[SagaSummary]:
    return [saga_summary(row_of(saga, known), now_ms) for saga in sagas_of(connection, ids)]


def _ids(fits: Callable[[ColumnElement[str], str], ColumnElement[bool]], text: str) -> ColumnElement[bool]:
    """Whether the id of a saga is like that, or the id of one that belongs to it."""
    parts = select(joined.c.saga).where(fits(joined.c.id, text))
    return or_(fits(sagas.c.id, text), sagas.c.id.in_(parts))


def _begins(id_: ColumnElement[str], text: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = (id_ >= text) & (id_ < text + _LAST)
    return found


def _ends(id_: ColumnElement[str], text: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = func.substr(id_, func.length(id_) - len(text) + 1) == text
    return found


def _nearest(connection: Connection, text: str) -> list[str]:
    """Those that stand beside it in the order of ids, or of keys, and have something in common."""
    found: dict[str, int] = {}
    for column in (sagas.c.id, sagas.c.business_key):
        row = select(sagas.c.id, column)
        for beside in (
            row.where(column >= text).order_by(column),
            row.where(column < text).order_by(column.desc()),
        ):
            for id_, name in connection.execute(beside.limit(_NEAREST_MAX)):
                found[id_] = max(found.get(id_, 0), _alike(text, name) + _alike(text[::-1], name[::-1]))
    nearest = sorted((id_ for id_, alike in found.items() if alike), key=lambda id_: (-found[id_], id_))
    return nearest[:_NEAREST_MAX]


def _alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
