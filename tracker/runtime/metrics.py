"""The door to prometheus_client: our figures as metrics, made when somebody asks for them.

The official client of Prometheus, without dependencies of its own. OpenTelemetry's exporter for
Prometheus is still a beta and brings the SDK with it, which the tracker does not need.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate
from typing import NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tracker.core.histogram import Histogram
from tracker.runtime.figures import Figures

Labels = tuple[str, ...]
Place = TypeVar("Place", bound=Labels)
"""The values of the labels."""


class Exposition:
    """The metrics of this process."""

    def __init__(self, collector: Collector) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def encoded(self, accept: str) -> tuple[bytes, str]:
        """All of them in the format that an HTTP Accept header asks for, and its content type."""
        encode: Callable[[CollectorRegistry], bytes]
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class Metrics(Exposition):
    """Those of a tracker, and of its collector's process, if that is another: `saga_collector_process_*`."""

    def __init__(self, figures: Figures, collector_pid: Callable[[], int] | None = None) -> None:
        super().__init__(_FigureMetrics(figures))
        if collector_pid is not None:
            ProcessCollector("saga_collector", collector_pid, registry=self._registry)


class Plain(NamedTuple):
    """One number. `counter`: it only grows, and `_total` is added to its name."""

    name: str
    text: str
    value: float
    counter: bool = False


class PlainMetrics(Exposition):
    """Those of a process that has a few numbers; `read` is asked whenever somebody wants to know."""

    def __init__(self, read: Callable[[], Iterable[Plain]]) -> None:
        super().__init__(_PlainMetrics(read))


class _PlainMetrics(Collector):
    def __init__(self, read: Callable[[], Iterable[Plain]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        yield _build()
        for name, text, value, counter in self._read():
            yield _counter(name, text, value) if counter else _gauge(name, text, (), {(): value})


class _FigureMetrics(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        yield _build()
        yield from self._reading()
        yield from self._folding()
        yield from self._sagas()
        yield from self._trouble()

    def _reading(self) -> Iterator[Metric]:
        figures = self._figures
        lags = figures.lags()
        source = ("topic", "partition")
        yield _gauge(
            "saga_tracker_lag_seconds",
            "How long the oldest record has been waiting that was not read.",
            source,
            {(topic, str(number)): lag.seconds for (topic, number), lag in lags.items()},
        )
        yield _gauge(
            "saga_tracker_lag_records",
            "Records that were not read.",
            source,
            {(topic, str(number)): lag.records for (topic, number), lag in lags.items()},
        )
        yield _counter("saga_tracker_collected_records", "Records read off source topics.", figures.records)
        yield _counters(
            "saga_orphan_events",
            "Records and receipts that no saga was told about.",
            ("topic", "reason"),
            figures.uncorrelated + figures.account.late,
        )
        yield _gauge(
            "saga_dead_letters",
            "Records on the dead-letter topics.",
            ("topic",),
            {(topic,): records for topic, records in figures.dead_letters.items()},
        )

    def _folding(self) -> Iterator[Metric]:
        figures = self._figures
        table = figures.table()
        yield _gauge("saga_tracker_ready", "1 while the tracker is at work.", (), {(): int(figures.ready)})
        yield _histogram(
            "saga_tracker_visibility_delay_seconds",
            "From the timestamp of a record to the state of its saga for all to read.",
            (),
            {(): figures.visibility},
        )
        yield _histogram("saga_tracker_commit_duration_seconds", "Commits.", (), {(): figures.commits})
        yield _counter("saga_tracker_frames", "Frames folded.", figures.frames)
        yield _counter("saga_tracker_steps", "Events, receipts and commands folded.", figures.facts)
        yield _counter("saga_tracker_effects", "Effects delivered or refused.", figures.effects)
        yield _counter(
            "saga_tracker_restarts", "Times that collector and tracker began anew.", figures.restarts
        )
        yield _gauge(
            "saga_tracker_watermark_age_seconds",
            "How far the time that deadlines are judged by is behind the clock.",
            ("partition",),
            {(str(number),): age for number, age in table.watermark_age_seconds.items()},
        )
        yield _gauge(
            "saga_tracker_sources_gone",
            "Source partitions that nobody reads and that hold up time no longer.",
            (),
            {(): table.sources_gone},
        )
        yield _gauge("saga_tracker_dirty_sagas", "Changed sagas, not written yet.", (), {(): table.dirty})
        yield _gauge("saga_tracker_cached_sagas", "Unchanged sagas in memory.", (), {(): table.cached})
        yield _gauge("saga_tracker_deadlines", "Sagas that have a deadline.", (), {(): table.deadlines})

    def _sagas(self) -> Iterator[Metric]:
        account = self._figures.account
        yield _gauge(
            "saga_flow_instances",
            "Sagas in flight of known flows: open, compensating or stuck.",
            ("flow", "status"),
            self._figures.table().in_flight,
        )
        yield _histogram(
            "saga_flow_duration_seconds",
            "How long ended sagas took, from their first event to their end.",
            ("flow", "outcome"),
            account.durations,
        )
        yield _counters(
            "saga_sla_breaches",
            "Deadlines that were warned of or breached.",
            ("flow", "rule", "level"),
            account.breaches,
        )
        yield _counters(
            "saga_compensations",
            "Undos that came to a result.",
            ("flow", "step", "outcome"),
            account.compensations,
        )

    def _trouble(self) -> Iterator[Metric]:
        figures = self._figures
        yield _counters(
            "saga_tracker_trouble",
            "Sagas that could not be read, written, followed or joined.",
            ("reason",),
            {(reason,): times for reason, times in figures.account.trouble.items()},
        )
        yield _counters(
            "saga_tracker_left_sagas",
            "Sagas that left the table: ended, silent or abandoned for longer than the retention.",
            ("reason",),
            {(reason,): times for reason, times in figures.account.left.items()},
        )
        yield _counters(
            "saga_tracker_unreadable_frames",
            "Records of saga.steps that are no frames.",
            ("partition",),
            {(str(partition),): times for partition, times in figures.unreadable.items()},
        )
        yield _counters(
            "saga_tracker_refused_effects",
            "Effects that Kafka refused.",
            ("topic", "kind"),
            figures.refused,
        )


def _build() -> Metric:
    told = {"version": version("saga-choreography"), "python": platform.python_version()}
    return InfoMetricFamily("saga_build", "The version of this process.", told)


def _gauge(name: str, text: str, labels: Labels, values: Mapping[Place, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for place, value in values.items():
        family.add_metric(place, value)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return _counters(name, text, (), {(): value})


def _counters(name: str, text: str, labels: Labels, values: Mapping[Place, float]) -> Metric:
    """A counter; `_total` is added to its name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for place, value in values.items():
        family.add_metric(place, value)
    return family


def _histogram(name: str, text: str, labels: Labels, values: Mapping[Place, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for place, histogram in values.items():
        bounds = [*map(str, histogram.bounds), "+Inf"]
        family.add_metric(place, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.sum)
    return family
