"""What a projector tells machines: in the words of its documentation, and never ready too early."""

import re
from pathlib import Path

from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from tracker.runtime.metrics import Plain, PlainMetrics
from tracker.view.model.freshness import Projected
from tracker.view.projector.figures import ProjectorFigures

DOCS = (Path(__file__).parents[2] / "docs" / "read-model.md").read_text()
NOW_SECONDS = 1_800_000_000.0


def scraped(figures: ProjectorFigures) -> dict[str, float]:
    metrics = PlainMetrics(lambda: [Plain(*one) for one in figures.metrics(NOW_SECONDS)])
    families = text_string_to_metric_families(metrics.encoded("text/plain")[0].decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_every_metric_is_in_the_documentation() -> None:
    ours = {name for name in scraped(ProjectorFigures()) if name.startswith("saga_projector_")}

    assert ours == set(re.findall(r"saga_projector_\w+", DOCS))


def test_it_is_ready_when_it_writes_and_all_sagas_are_there() -> None:
    whole = Projected(building=False, as_of_ms=round(NOW_SECONDS * 1000) - 1_500)
    figures = ProjectorFigures(said=whole, working=True)
    assert figures.unready() == ""
    assert scraped(figures)["saga_projector_age_seconds"] == 1.5

    assert (
        "from the beginning"
        in ProjectorFigures(structs.replace(whole, building=True), working=True).unready()
    )
    assert "another projector" in ProjectorFigures(whole).unready()
