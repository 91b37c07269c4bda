"""Which sagas are likely to breach a deadline."""

from tracker.core.prediction import RISK_MIN, Forecast
from tracker.view.clocks import worst
from tracker.view.row import Row


def at_risk(row: Row, forecast: Forecast, now_ms: int) -> bool:
    """Whether somebody should look at it before it is late, or because it is.

    A deadline has been warned of or has passed, the chance that one is breached is greater than
    `RISK_MIN`, or the saga has been where it is longer than nearly all that completed.
    """
    return worst(row.clocks, now_ms) != "on time" or forecast.risk > RISK_MIN or forecast.unusual
