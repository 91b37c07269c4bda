"""Which sagas are likely to breach a deadline."""

from tracker.core.prediction import RISK_MIN, Forecast
from tracker.view.clocks import worst
from tracker.view.row import Row


def at_risk(row: Row, forecast: Forecast, now_ms: int) -> bool:
    """Whether somebody should look at it before it is late, or because it is.

    A deadline has been warned of or has passed, or the chance that one is breached is greater than
    `RISK_MIN`. Where a saga is slower than nearly all that completed they say nothing any more: then it
    counts when it has waited longer already than is left of its first deadline.
    """
    if worst(row.clocks, now_ms) != "on time" or forecast.risk > RISK_MIN:
        return True
    return forecast.unusual and bool(row.clocks) and now_ms - row.where_ms >= row.clocks[0].due_ms - now_ms
