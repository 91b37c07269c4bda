"""Sagas by the bytes that the changelog has of them, decoded."""

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, UnaryExpression, select

from tracker.core.errors import UnreadableSaga
from tracker.core.saga import Saga, decode_saga
from tracker.view.model.shape import stored
from tracker.view.model.tables import chains, sagas, shapes

_IDS_MAX = 500
"""In one statement: databases take so many values with each."""


def sagas_of(connection: Connection, ids: Sequence[str]) -> list[Saga]:
    """The sagas with these ids in their order, of those that there are and that can be read."""
    found: dict[str, bytes] = {}
    for first in range(0, len(ids), _IDS_MAX):
        some = [stored(id_) for id_ in ids[first : first + _IDS_MAX]]
        query = select(sagas.c.id, chains.c.value).join(chains, chains.c.number == sagas.c.number)
        found.update((id_, value) for id_, value in connection.execute(query.where(sagas.c.id.in_(some))))
    return list(readable(bytes(found[stored(id_)]) for id_ in ids if stored(id_) in found))


def values_where(
    connection: Connection,
    conditions: Iterable[ColumnElement[bool]],
    order: UnaryExpression[int] | ColumnElement[int],
    limit: int,
) -> list[bytes]:
    """The bytes of the first sagas of which these conditions on `sagas` and `shapes` are true."""
    query = (
        select(chains.c.value)
        .select_from(
            sagas.join(shapes, shapes.c.id == sagas.c.shape).join(chains, chains.c.number == sagas.c.number)
        )
        .where(*conditions)
        .order_by(order)
        .limit(limit)
    )
    return [bytes(value) for value in connection.scalars(query)]


def readable(values: Iterable[bytes]) -> Iterator[Saga]:
    """Those that this version can read."""
    for value in values:
        try:
            yield decode_saga(value)
        except UnreadableSaga:
            continue
