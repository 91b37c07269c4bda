"""What has changed since a client looked last: every change has a number, the next one a greater one.

Each batch is kept as one row of ids. So to ask costs next to nothing as long as nothing has changed, and
several processes may ask, each from where it is.
"""

from collections.abc import Sequence

from msgspec import Struct, json
from sqlalchemy import Connection, delete, func, insert, select

from tracker.view.model.batch import SagaRow
from tracker.view.model.search import rows_of
from tracker.view.model.tables import revisions

CHANGES_KEPT = 500_000
"""As many are told of; who asks from further back has to read all anew."""

_decode_ids = json.Decoder(list[str]).decode


class Changes(Struct, frozen=True):
    """What changed, each saga once and as it is now.

    Attributes
    ----------
    revision : where to go on from.
    removed : ids of sagas that are none any more.
    complete : False when it is not known what changed since then: all has to be read anew, and then to be
        gone on from `revision`. `rows` and `removed` are empty then.
    """

    revision: int
    rows: list[SagaRow]
    removed: list[str]
    complete: bool = True


def newest_revision(connection: Connection) -> int:
    """The number of the newest change; 0 before the first."""
    return connection.scalar(select(func.max(revisions.c.last))) or 0


def changes_since(connection: Connection, revision: int, limit: int) -> Changes:
    """The changes with greater numbers than `revision`, the first `limit` of them, which is at least 1.

    There are no more as long as `Changes.revision` is the one that was given.
    """
    told = select(func.min(revisions.c.first), func.max(revisions.c.last))
    oldest, newest = connection.execute(told).one()
    if newest is None or not oldest - 1 <= revision <= newest:
        return Changes(newest or 0, [], [], complete=newest is None and revision == 0)
    ids: dict[str, None] = {}
    reached = revision
    end = revision + limit
    within = revisions.c.last > revision, revisions.c.first <= end
    for batch in connection.execute(select(revisions).where(*within).order_by(revisions.c.last)):
        some = _decode_ids(batch.ids)[max(0, reached + 1 - batch.first) : end + 1 - batch.first]
        ids.update(dict.fromkeys(some))
        reached = min(batch.last, end)
    rows = rows_of(connection, list(ids))
    there = {row.id for row in rows}
    return Changes(reached, rows, [id_ for id_ in ids if id_ not in there])


def note_changes(connection: Connection, ids: Sequence[str]) -> None:
    """Number the changes of a batch. Nobody else may number any until the end of the transaction."""
    if ids:
        first = newest_revision(connection) + 1
        last = first + len(ids) - 1
        connection.execute(insert(revisions).values(last=last, first=first, ids=json.encode(ids).decode()))
        connection.execute(delete(revisions).where(revisions.c.last <= last - CHANGES_KEPT))


def note_new_beginning(connection: Connection) -> None:
    """What changed until now is forgotten, its numbers are not: who knows one has to read all anew."""
    last = newest_revision(connection) + 2  # nobody has been told the one before it
    connection.execute(delete(revisions))
    connection.execute(insert(revisions).values(last=last, first=last, ids="[]"))
