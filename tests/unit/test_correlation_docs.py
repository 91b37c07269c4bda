"""docs/correlation.md is true: its tables are those of the form, and its example is right."""

import re
from pathlib import Path

import pytest

from tests.unit.test_flow_docs import forms, section, table
from tracker.core import collect, correlation
from tracker.flow.form import CORRELATION
from tracker.flow.parse import parse

PATH = Path(__file__).parents[2] / "docs" / "correlation.md"


@pytest.mark.parametrize("title", forms(CORRELATION))
def test_every_field_is_documented_as_it_is_read(title: str) -> None:
    found = section(PATH.read_text(encoding="utf-8"), title)
    assert found == table(forms(CORRELATION)[title]), "run python -m tests.unit.test_correlation_docs"


@pytest.mark.parametrize(
    "block", re.findall(r"```yaml\n(.*?)```", PATH.read_text(encoding="utf-8"), re.DOTALL)
)
def test_every_example_is_right(block: str) -> None:
    file = parse(block)
    assert list(map(str, file.problems)) == []
    assert file.rule is not None


def test_every_reason_is_told() -> None:
    told = set(re.findall(r"`([a-z-]+)`", PATH.read_text(encoding="utf-8").partition("| reason |")[2]))
    reasons = (
        collect.NOT_AN_EVENT,
        correlation.NO_SAGA,
        correlation.NO_TYPE,
        correlation.NOT_JSON,
        correlation.BAD_TIME,
        correlation.TOO_LONG,
    )
    assert told.issuperset(reasons)


if __name__ == "__main__":  # writes the tables into the document
    document = PATH.read_text(encoding="utf-8")
    for name, form in forms(CORRELATION).items():
        head = f"<!-- {name} -->\n"
        document = document.replace(head + section(document, name), head + table(form))
    PATH.write_text(document, encoding="utf-8")
