"""The schema for editors accepts what the parser accepts, and marks the mistakes that a schema can."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.flow_mistakes import FLOW_TEXT, MISTAKES, Mistake, wrong
from tracker.cli.schemas import schema_texts
from tracker.flow.files import flow_paths
from tracker.flow.parse import parse
from tracker.flow.schema import FILE_NAME, json_schemas

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "json" / FILE_NAME
SHIPPED = sorted(path.read_text(encoding="utf-8") for path in flow_paths([ROOT / "schemas" / "flows"]))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema: Any = json_schemas()[FILE_NAME]
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_published_schema_is_the_generated_one() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_texts()[FILE_NAME], "run `make schemas`"


@pytest.mark.parametrize("text", [FLOW_TEXT, *SHIPPED])
def test_what_the_parser_takes_the_schema_takes(validator: Draft202012Validator, text: str) -> None:
    assert parse(text).problems == ()
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "mistake", [each for each in MISTAKES if each.schema], ids=lambda each: each.message[:40]
)
def test_mistakes_of_a_single_field_are_marked(validator: Draft202012Validator, mistake: Mistake) -> None:
    assert not validator.is_valid(yaml.safe_load(wrong(mistake)))
