"""How sagas of one flow went, from a handful of them, for the forecast of another."""

from collections.abc import Iterable

from tracker.core.errors import UnreadableSaga
from tracker.core.prediction import Forecast, History, journey
from tracker.core.saga import Saga, decode_saga
from tracker.core.status import Status
from tracker.view.known import Known
from tracker.view.row import row_of


def forecast_by(saga: Saga, others: Iterable[bytes], known: Known, now_ms: int) -> Forecast | None:
    """How the saga goes on by these others; None if it has no flow, or is not on its way."""
    row = row_of(saga, known)
    if not row.of_flow or row.status not in (Status.OPEN, Status.RETRYING):
        return None
    history = History()
    for value in others:
        try:
            other = decode_saga(value)
        except UnreadableSaga:
            continue
        flow = known.flow_of(other)
        told = journey(other, flow) if flow is not None and flow.name == row.flow else None
        if told is not None:
            history.add(told)
    return history.forecast(row.where, row.where_ms, row.clocks, now_ms)
