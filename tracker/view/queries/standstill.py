"""Where sagas stand still, and which alarms of that are raised."""

from sqlalchemy import Connection, select

from tracker.core.contract.standstill import OVER, RAISED, Raised, Spot, Standstill, standstills
from tracker.view.known import Known
from tracker.view.model.feeds import alerts
from tracker.view.queries.attention import stuck_waits

_ALERTS_MAX = 10_000


def standing_still(connection: Connection, known: Known, now_ms: int) -> dict[Spot, Standstill]:
    """The spots where sagas of flows with a flow file are stuck at this time."""
    found: dict[Spot, Standstill] = {}
    for flow in {flow.name for flow in known.flows}:
        stuck, more = stuck_waits(connection, known, flow, now_ms)
        found |= standstills(flow, (waits for _, waits in stuck), more=more)
    return found


def raised_alarms(connection: Connection) -> dict[Spot, Raised]:
    """The alarms that were raised and not taken back."""
    c = alerts.c
    query = select(c.id, c.flow, c.key, c.cause, c.at_ms).where(c.saga == "", c.cause.in_([RAISED, OVER]))
    newest: dict[Spot, tuple[str, Raised]] = {}
    for row in connection.execute(query.order_by(c.at_ms.desc(), c.offset.desc()).limit(_ALERTS_MAX)):
        newest.setdefault(Spot.of(row.flow, row.key), (row.cause, Raised(row.id, row.at_ms)))
    return {spot: raised for spot, (cause, raised) in newest.items() if cause == RAISED}
