"""How fresh what a server tells is."""

from msgspec import Struct


class TrackerFreshness(Struct, frozen=True):
    """How far the tracker was when Kafka was asked last.

    Attributes
    ----------
    as_of : all that services had written up to then was in the saga table.
    age_ms : how long ago that was.
    lag_records : how many records waited for the tracker.
    at_work : whether one was.
    """

    as_of: str
    age_ms: int
    lag_records: int
    at_work: bool


class FreshnessDocument(Struct, frozen=True):
    """How fresh the read model is: as fresh as the tracker and the projector behind it.

    Attributes
    ----------
    as_of : all that was written to Kafka up to then is in it; null if nothing ever was.
    age_ms : how long ago that was.
    projector_age_ms : how old what the projector has read is: the tracker may be further behind.
    tracker : how far it is; null if nobody could say yet.
    lag_records : how many records wait for the projector.
    alive : whether a projector is at work.
    building : whether sagas are still missing, because it is made from the beginning.
    built : how much of it there is then, from 0 to 1.
    """

    as_of: str | None
    age_ms: int
    projector_age_ms: int
    tracker: TrackerFreshness | None
    lag_records: int
    alive: bool
    building: bool
    built: float
