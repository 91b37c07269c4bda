"""What costs much to find out of sagas and seldom changes: found once for all who ask.

It is kept for each database with what sagas are read by, and forgotten with it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, Engine, UnaryExpression, or_, select

from tracker.core.contract.traffic import Traffic
from tracker.core.status import ENDED
from tracker.view.flows import group_of
from tracker.view.known import Known
from tracker.view.model.aggregates import DAY_MS, traffic
from tracker.view.model.changes import newest_revision
from tracker.view.model.shape import stored
from tracker.view.model.tables import chains, sagas, shapes
from tracker.view.past import Past, past_of
from tracker.view.queries.bytes import readable, values_where
from tracker.view.row import Row, row_of

PAST_MAX = 300
"""So many sagas that have ended tell how others go on: the newest."""

PAST_KEPT_MS = 10_000
"""So long the past stays as it is. While it has less than `PAST_MAX` sagas, each new one counts at once."""

_TRAFFIC_MS = 7 * DAY_MS

ROWS_MAX = 5_000
"""Sagas that somebody should look at wait: those who ask again find the same ones."""

_IDS_MAX = 500


class Version(NamedTuple):
    """A saga, and which of its records is meant."""

    id: str
    partition: int
    offset: int
    acted_ms: int


class Kept:
    """What is kept for one database."""

    def __init__(self) -> None:
        self.pasts: dict[tuple[str, str], _Past] = {}
        self.rows: dict[Version, Row] = {}


class _Past(NamedTuple):
    """What was found at a time; for a young one the revision that alone it is good for."""

    at_ms: int
    revision: int | None
    found: Any


def kept_past(connection: Connection, known: Known, row: Row, now_ms: int) -> Past:
    """How the newest sagas of the group of this one went."""
    name, group = stored(_name(row)), group_of(row)

    def found() -> tuple[Past, int]:
        statuses = [status.value for status in ENDED]
        conditions = [shapes.c.status.in_(statuses), or_(shapes.c.flow == name, shapes.c.begins == name)]
        values = values_where(connection, conditions, sagas.c.began_ms.desc(), PAST_MAX)
        return past_of(values, known, group), len(values)

    past: Past = _newest(connection, known, ("past", group), now_ms, found)
    return past


def kept_traffic(connection: Connection, known: Known, row: Row, now_ms: int) -> Traffic:
    """How all sagas of its flow went that ended in the last days, or that began with the same event."""
    name = _name(row)

    def found() -> tuple[Traffic, int]:
        told = traffic(connection, name, None, now_ms - _TRAFFIC_MS, now_ms + DAY_MS)
        return told, told.sagas

    told: Traffic = _newest(connection, known, ("traffic", name), now_ms, found)
    return told


def _name(row: Row) -> str:
    return row.flow if row.of_flow else row.begins


def _newest(
    connection: Connection,
    known: Known,
    key: tuple[str, str],
    now_ms: int,
    find: Callable[[], tuple[Any, int]],
) -> Any:
    """What is kept under this key, or else is found now; with how many sagas it is of."""
    pasts = _kept(connection, known).pasts
    kept = pasts.get(key)
    if kept is not None and kept.revision is None and 0 <= now_ms - kept.at_ms < PAST_KEPT_MS:
        return kept.found
    revision = newest_revision(connection)
    if kept is not None and kept.revision == revision and now_ms - kept.at_ms < DAY_MS:
        return kept.found
    found, count = find()
    pasts[key] = _Past(now_ms, revision if count < PAST_MAX else None, found)
    return found


def rows_where(
    connection: Connection,
    known: Known,
    conditions: Sequence[ColumnElement[bool]],
    order: UnaryExpression[int],
    limit: int,
) -> tuple[list[Row], int]:
    """The first sagas of which these conditions on `sagas` and `shapes` are true, and how many there were.

    Those that this version can't read are not among them.
    """
    columns = sagas.c.id, sagas.c.partition, sagas.c.offset, sagas.c.acted_ms
    query = select(*columns).join(shapes, shapes.c.id == sagas.c.shape).where(*conditions)
    wanted = [Version(*row) for row in connection.execute(query.order_by(order).limit(limit))]
    return rows_at(connection, known, wanted), len(wanted)


def rows_at(connection: Connection, known: Known, wanted: Sequence[Version]) -> list[Row]:
    """The rows of these sagas in their order, of those that this version of the program can read."""
    rows = _kept(connection, known).rows
    # Other threads may forget them at any moment.
    found = {version.id: row for version in wanted if (row := rows.get(version)) is not None}
    missing = {version.id: version for version in wanted if version.id not in found}
    if len(rows) + len(missing) > ROWS_MAX:
        rows.clear()
    ids = list(missing)
    for first in range(0, len(ids), _IDS_MAX):
        query = select(sagas.c.id, chains.c.value).join(chains, chains.c.number == sagas.c.number)
        some = sagas.c.id.in_(ids[first : first + _IDS_MAX])
        for id_, value in connection.execute(query.where(some)):
            for saga in readable([bytes(value)]):
                found[id_] = rows[missing[id_]] = row_of(saga, known)
    return [found[version.id] for version in wanted if version.id in found]


def _kept(connection: Connection, known: Known) -> Kept:
    kept: WeakKeyDictionary[Engine, Kept] = known.kept
    found = kept.get(connection.engine)
    if found is None:
        found = kept[connection.engine] = Kept()
    return found
