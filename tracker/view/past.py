"""What sagas that have ended tell of how another one of their flow goes on."""

from collections.abc import Iterable

from tracker.core.contract.traffic import At, answer_times
from tracker.core.discovery import Variants, trace
from tracker.core.errors import UnreadableSaga
from tracker.core.prediction import Forecast, History, journey
from tracker.core.quantiles import Sketches
from tracker.core.saga import decode_saga
from tracker.core.status import Status
from tracker.view.flows import group_of
from tracker.view.known import Known
from tracker.view.row import Row, row_of


class Past:
    """The past of one group of sagas (`group_of`).

    Attributes
    ----------
    history : how those that completed went on.
    answers : how long answers took, and the next events.
    variants : the ways that they went.
    """

    def __init__(self) -> None:
        self.history = History()
        self.answers: Sketches[At] = Sketches()
        self.variants = Variants()


def past_of(others: Iterable[bytes], known: Known, group: str) -> Past:
    """What those of these sagas tell that have ended and are of this group."""
    past = Past()
    for value in others:
        try:
            other = decode_saga(value)
        except UnreadableSaga:
            continue
        if other.joined:
            continue
        row = row_of(other, known)
        if row.in_flight or group_of(row) != group:
            continue
        past.variants.add(trace(other))
        for at, took_ms in answer_times(other, known.undo_words(other)):
            past.answers.add(at, took_ms)
        flow = known.flow_of(other)
        told = None if flow is None else journey(other, flow)
        if told is not None:
            past.history.add(told)
    return past


def forecast_by(row: Row, past: Past, now_ms: int) -> Forecast | None:
    """How the saga goes on by the past of its group; None if it has no flow, or is not on its way."""
    if not row.of_flow or row.status not in (Status.OPEN, Status.RETRYING):
        return None
    return past.history.forecast(row.where, row.where_ms, row.clocks, now_ms)
