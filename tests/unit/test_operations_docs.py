"""The alert rules name metrics that exist, and the runbook has a line for every rule."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tracker.runtime.figures import Figures
from tracker.runtime.metrics import Metrics

DOCS = Path(__file__).parents[2] / "docs"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
RUNBOOK = (DOCS / "operations.md").read_text()
METRIC = re.compile(r"\bsaga_[a-z_]+")


def metrics() -> set[str]:
    """Families as they are written in queries: counters end in `_total`."""
    body, _ = Metrics(Figures(), os.getpid).encoded("text/plain")
    families = text_string_to_metric_families(body.decode())
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_metrics_that_exist_and_is_in_the_runbook(rule: dict[str, Any]) -> None:
    asked = {name.removesuffix("_bucket") for name in METRIC.findall(rule["expr"])}
    assert asked
    assert asked <= metrics()
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"]
    assert re.search(rf"^\| {rule['alert']}\b", RUNBOOK, re.MULTILINE)


def test_the_table_of_metrics_is_complete() -> None:
    ours = {name for name in metrics() if name.startswith("saga_")}
    told = set(METRIC.findall(RUNBOOK.split("## Alerts")[0]))
    assert told == ours
