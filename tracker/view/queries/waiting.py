"""How much waits for somebody."""

from msgspec import Struct
from sqlalchemy import Connection, func, select

from tracker.core.redrive import TO_DO
from tracker.core.status import Status
from tracker.view.model.feeds import alerts
from tracker.view.model.tables import shapes
from tracker.view.queries.dead_letters import count_letters

ALERTS_MS = 3_600_000
"""Nobody says that an alert is dealt with: those of the last hour count."""


class Waiting(Struct, frozen=True):
    """Sagas of which an undo is stuck, alerts of the last hour, dead letters that are to be done."""

    stuck: int
    alerts: int
    dead_letters: int


def waiting(connection: Connection, now_ms: int) -> Waiting:
    """All of it as it is now."""
    stuck = select(func.sum(shapes.c.sagas)).where(shapes.c.status == Status.STUCK.value)
    newest = select(func.count()).where(alerts.c.at_ms >= now_ms - ALERTS_MS)
    return Waiting(
        int(connection.scalar(stuck) or 0),
        connection.scalar(newest) or 0,
        count_letters(connection, TO_DO),
    )
