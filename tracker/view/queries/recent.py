"""How many sagas have ended just now: what the rate of a flow is told by."""

from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, func, select

from tracker.view.flows import SLICE_MS, SLICES_SHOWN
from tracker.view.model.tables import sagas, shapes

RECENT_KEPT_MS = 2_000

Group = tuple[str, int, str]
"""Name of a flow, its version, and the type of the first event."""

_kept: WeakKeyDictionary[Engine, tuple[int, dict[Group, tuple[int, ...]]]] = WeakKeyDictionary()


def recent_ends(connection: Connection, now_ms: int) -> dict[Group, tuple[int, ...]]:
    """How many sagas ended in each of the last `SLICES_SHOWN` whole slices, the oldest first.

    These are over, so that all who watch may have the same for a while; sagas that come late count then.
    """
    at_ms, found = _kept.get(connection.engine) or (-RECENT_KEPT_MS, {})
    if not 0 <= now_ms - at_ms < RECENT_KEPT_MS or now_ms // SLICE_MS != at_ms // SLICE_MS:
        found = _counted(connection, now_ms // SLICE_MS)
        _kept[connection.engine] = now_ms, found
    return found


def _counted(connection: Connection, current: int) -> dict[Group, tuple[int, ...]]:
    first_ms = (current - SLICES_SHOWN) * SLICE_MS
    whole = ((sagas.c.acted_ms - first_ms) // SLICE_MS).label("whole")
    c = shapes.c
    query = (
        select(c.flow, c.flow_version, c.begins, whole, func.count())
        .select_from(sagas.join(shapes, c.id == sagas.c.shape))
        .where(
            sagas.c.ended_ms.is_not(None),
            sagas.c.acted_ms >= first_ms,
            sagas.c.acted_ms < current * SLICE_MS,
        )
        .group_by(c.flow, c.flow_version, c.begins, whole)
    )
    found: dict[Group, list[int]] = {}
    for flow, version, begins, index, count in connection.execute(query):
        found.setdefault((flow, version, begins), [0] * SLICES_SHOWN)[int(index)] += count
    return {group: tuple(counts) for group, counts in found.items()}
