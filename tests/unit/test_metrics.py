"""What Prometheus reads: names, labels and values, by the client's own parser."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from tracker.core.lag import SourceLag
from tracker.core.watermark import Source
from tracker.runtime.figures import Figures, TableFigures
from tracker.runtime.metrics import Metrics


class Stage:
    """A collector and a tracker that say what they are told."""

    ready = True

    def __init__(self, lags: Mapping[Source, SourceLag]) -> None:
        self._lags = lags

    def lags(self) -> Mapping[Source, SourceLag]:
        return self._lags

    def table_figures(self) -> TableFigures:
        return TableFigures({("order", "open"): 3}, 5, 7, 2, 1, {0: 0.5})


def scraped(figures: Figures) -> dict[str, float]:
    """By name and labels, as they stand in a query: `saga_dead_letters{topic="saga.dlq.mail"}`."""
    body, _ = Metrics(figures).encoded("text/plain")
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_a_tracker_at_work_is_told_in_the_names_of_the_conventions() -> None:
    figures = Figures()
    sources = {("orders", 0): SourceLag(10, 2.5)}
    steps = {("saga.steps", 3): SourceLag(1, 0.25)}
    figures.collects(Stage(sources))
    figures.tracks(Stage(steps))
    figures.uncorrelated["orders", "no-saga"] += 4
    figures.account.late["orders", "left"] += 7
    figures.account.left["ended"] += 5
    figures.dead_letters["saga.dlq.mail"] = 6
    figures.account.breaches["order", "on-time", "breached"] += 2
    figures.account.compensations["order", "stock.reserved", "undone"] += 1
    figures.refused["mails", "Publish"] += 1

    told = scraped(figures)

    assert told['saga_tracker_lag_seconds{partition="0",topic="orders"}'] == 2.5
    assert told['saga_tracker_lag_seconds{partition="3",topic="saga.steps"}'] == 0.25
    assert told['saga_tracker_lag_records{partition="0",topic="orders"}'] == 10
    assert told['saga_orphan_events_total{reason="no-saga",topic="orders"}'] == 4
    assert told['saga_orphan_events_total{reason="left",topic="orders"}'] == 7
    assert told['saga_tracker_left_sagas_total{reason="ended"}'] == 5
    assert told['saga_dead_letters{topic="saga.dlq.mail"}'] == 6
    assert told['saga_flow_instances{flow="order",status="open"}'] == 3
    assert told['saga_sla_breaches_total{flow="order",level="breached",rule="on-time"}'] == 2
    assert told['saga_compensations_total{flow="order",outcome="undone",step="stock.reserved"}'] == 1
    assert told['saga_tracker_refused_effects_total{kind="Publish",topic="mails"}'] == 1
    assert told['saga_tracker_watermark_age_seconds{partition="0"}'] == 0.5
    assert told["saga_tracker_ready"] == 1
    assert [name for name in told if name.startswith("saga_build_info{")]
    assert told["process_resident_memory_bytes"] > 0


def test_a_histogram_is_cumulative_and_sums_up() -> None:
    figures = Figures()
    figures.visibility.add(0.2, 3)
    figures.visibility.add(100_000)

    told = scraped(figures)

    assert told['saga_tracker_visibility_delay_seconds_bucket{le="0.1"}'] == 0
    assert told['saga_tracker_visibility_delay_seconds_bucket{le="0.25"}'] == 3
    assert told['saga_tracker_visibility_delay_seconds_bucket{le="+Inf"}'] == 4
    assert told["saga_tracker_visibility_delay_seconds_count"] == 4
    assert told["saga_tracker_visibility_delay_seconds_sum"] == 100_000.6


def test_a_process_without_a_tracker_tells_what_it_counted_before() -> None:
    figures = Figures()
    figures.collects(Stage({}))
    figures.tracks(Stage({}))
    figures.commits.add(0.01)
    figures.collects(None)
    figures.tracks(None)

    told = scraped(figures)

    assert told["saga_tracker_ready"] == 0
    assert told["saga_tracker_commit_duration_seconds_count"] == 1
    assert not any(name.startswith("saga_tracker_lag_seconds") for name in told)
