"""Whether the tracker keeps up."""

from collections.abc import Mapping

from msgspec import Struct

from tracker.core.health import Health, SourceHealth, problems
from tracker.view.documents.freshness import FreshnessDocument
from tracker.view.documents.moment import timestamp


class GroupDocument(Struct, frozen=True, gc=False):
    """A consumer group of the tracker: its members by their addresses, and what waits for it."""

    group: str
    state: str
    members: tuple[str, ...]
    lag_records: int
    lag_seconds: float


class SourceDocument(Struct, frozen=True, gc=False):
    """A partition that is collected; `watermark_ms_ago`: all up to then has been read, null if unknown."""

    topic: str
    partition: int
    lag_records: int
    lag_seconds: float
    watermark_ms_ago: int | None
    held_up_by: str | None


class StepsDocument(Struct, frozen=True, gc=False):
    """A partition of `saga.steps`, and what waits in it."""

    partition: int
    lag_records: int
    lag_seconds: float


class HealthDocument(Struct, frozen=True):
    """The tracker by Kafka's word.

    Attributes
    ----------
    well : whether nothing is wrong; `problems` has what is.
    time_behind_ms : how far the time that deadlines are judged by is behind the clock; null if unknown.
    dead_letters : how many there are, by topic.
    read_model : how fresh that of the server is which was asked; null if Kafka was.
    """

    well: bool
    problems: list[str]
    at: str
    time_behind_ms: int | None
    table_written_ms_ago: int | None
    groups: list[GroupDocument]
    sources: list[SourceDocument]
    steps: list[StepsDocument]
    dead_letters: Mapping[str, int]
    read_model: FreshnessDocument | None = None


def health_document(
    health: Health, behind_ms: int, read_model: FreshnessDocument | None = None
) -> HealthDocument:
    """The health; what is more than `behind_ms` behind is not well."""
    wrong = problems(health, behind_ms)
    if read_model is not None:
        wrong += _model_problems(read_model, behind_ms)
    lags = (health.collector_lag, health.tracker_lag)
    return HealthDocument(
        well=not wrong,
        problems=wrong,
        at=timestamp(health.at_ms),
        time_behind_ms=_ago(health.at_ms, health.time_ms),
        table_written_ms_ago=_ago(health.at_ms, health.written_ms),
        groups=[
            GroupDocument(group.name, group.state, tuple(group.members), lag.records, lag.seconds)
            for group, lag in zip(health.groups, lags, strict=True)
        ],
        sources=[_source(source, health.at_ms) for source in health.sources],
        steps=[StepsDocument(number, lag.records, lag.seconds) for number, lag in health.steps.items()],
        dead_letters=dict(health.dead_letters),
        read_model=read_model,
    )


def _model_problems(model: FreshnessDocument, behind_ms: int) -> list[str]:
    if not model.alive:
        return ["nobody keeps the read model up to date: start `saga project`"]
    if model.building:
        return [f"the read model is being made: {model.built:.0%} of it is there"]
    if model.projector_age_ms > behind_ms:
        late_s = model.projector_age_ms / 1000
        return [f"the read model is behind: {model.lag_records:,} records wait, it is {late_s:.0f} s old"]
    return []


def _source(source: SourceHealth, at_ms: int) -> SourceDocument:
    return SourceDocument(
        source.topic,
        source.partition,
        source.lag.records,
        source.lag.seconds,
        _ago(at_ms, source.watermark_ms),
        source.hold or None,
    )


def _ago(at_ms: int, then_ms: int | None) -> int | None:
    return None if then_ms is None else max(0, at_ms - then_ms)
