"""What docs/services.md tells other languages is what the code does."""

import json
import re
from pathlib import Path

import jsonschema

from saga.core.ids import derived_id

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "services.md").read_text()


def test_the_examples_are_as_their_schemas_say() -> None:
    receipts, announcement = (
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    )

    jsonschema.validate(receipts, json.loads((DOCS / "json" / "receipts.schema.json").read_text()))
    jsonschema.validate(announcement, json.loads((DOCS / "json" / "service.schema.json").read_text()))


def test_the_id_is_derived_as_it_is_here() -> None:
    assert f"`{derived_id('parcel-1', 'loyalty.grant', 0)}`" in TEXT
