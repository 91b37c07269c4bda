"""What is in flight now, as `saga watch` shows it."""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from tracker.core.chain import UNKNOWN_FLOW
from tracker.core.status import ENDED, Status
from tracker.view.documents.row import saga_summary
from tracker.view.documents.watch import WatchDocument
from tracker.view.flows import SLICE_MS, SLICES_SHOWN, FlowSummary, Stage
from tracker.view.known import Known
from tracker.view.model.aggregates import Standing, standing
from tracker.view.model.freshness import freshness
from tracker.view.model.search import Order, Wanted, search
from tracker.view.model.tables import sagas, shapes, unreadable
from tracker.view.queries.bytes import sagas_of
from tracker.view.queries.recent import recent_ends
from tracker.view.row import row_of

_GOING = (Status.OPEN, Status.RETRYING)


def watch_picture(connection: Connection, known: Known, now_ms: int, oldest: int) -> WatchDocument:
    """All flows that have sagas, and so many of the oldest sagas in flight."""
    ended = _ended(connection)
    recent = {_group(*group): counts for group, counts in recent_ends(connection, now_ms).items()}
    at: dict[str, list[Standing]] = {}
    for stand in standing(connection, now_ms):
        at.setdefault(_group(stand.flow, stand.flow_version, stand.begins), []).append(stand)
    names = sorted({*at, *ended}, key=lambda name: (name.startswith(UNKNOWN_FLOW), name))
    flows = [
        _summary(name, known, at.get(name, []), ended.get(name, {}), recent.get(name, (0,) * SLICES_SHOWN))
        for name in names
    ]
    in_flight = Wanted(statuses=frozenset(Status) - ENDED)
    page = search(connection, in_flight, Order.OLDEST, oldest, now_ms)
    rows = (row_of(saga, known) for saga in sagas_of(connection, [row.id for row in page.rows]))
    # Each half has an index of its own.
    newest = (
        connection.scalar(select(func.max(sagas.c.acted_ms)).where(half))
        for half in (sagas.c.ended_ms.is_(None), sagas.c.ended_ms.is_not(None))
    )
    moved_ms = max((at_ms for at_ms in newest if at_ms is not None), default=None)
    fresh = freshness(connection, now_ms)
    return WatchDocument(
        fresh.age_ms if fresh.as_of_ms else None,
        None if moved_ms is None else max(0, now_ms - moved_ms),
        flows,
        sum(flow.in_flight for flow in flows),
        [saga_summary(row, now_ms) for row in rows],
        connection.scalar(select(func.count()).select_from(unreadable)) or 0,
    )


def _ended(connection: Connection) -> dict[str, Counter[Status]]:
    """By flow how many sagas ended how, of those that are kept."""
    c = shapes.c
    statuses = sorted(status.value for status in ENDED)
    query = select(c.flow, c.flow_version, c.begins, c.status, func.sum(c.sagas)).where(
        c.status.in_(statuses), c.sagas > 0
    )
    found: dict[str, Counter[Status]] = {}
    for flow, version, begins, status, count in connection.execute(
        query.group_by(c.flow, c.flow_version, c.begins, c.status)
    ):
        found.setdefault(_group(flow, version, begins), Counter())[Status(status)] += int(count)
    return found


def _group(flow: str, version: int, begins: str) -> str:
    return flow if version or not begins else f"{UNKNOWN_FLOW} {begins}"


def _summary(
    name: str, known: Known, at: list[Standing], ended: Mapping[Status, int], recent: tuple[int, ...]
) -> FlowSummary:
    flow = known.flows.newest(name)
    along = () if flow is None else (flow.begins, *flow.events, *flow.ends)
    stages: Counter[str] = Counter()
    statuses: Counter[Status] = Counter(ended)
    for stand in at:
        stages[stand.place] += stand.sagas
        statuses[stand.status] += stand.sagas
    going = [stand for stand in at if stand.status in _GOING and stand.flow_version]
    overdue, due_soon = sum(stand.overdue for stand in going), sum(stand.due_soon for stand in going)
    order = {event_type: index for index, event_type in enumerate(along)}
    return FlowSummary(
        flow=name,
        in_flight=stages.total(),
        retrying=statuses[Status.RETRYING],
        paused=statuses[Status.PAUSED],
        compensating=statuses[Status.COMPENSATING],
        stuck=statuses[Status.STUCK],
        completed=statuses[Status.COMPLETED],
        failed=statuses[Status.FAILED],
        compensated=statuses[Status.COMPENSATED],
        cancelled=statuses[Status.CANCELLED],
        stages=tuple(
            Stage(place, stages[place])
            for place in sorted(stages, key=lambda place: (order.get(place, len(order)), place))
        ),
        recent=recent,
        per_second=sum(recent) * 1000 / (SLICES_SHOWN * SLICE_MS),
        timed=flow is not None and bool(flow.rules),
        on_time=sum(stand.sagas for stand in going) - overdue - due_soon,
        due_soon=due_soon,
        overdue=overdue,
    )
