"""The JSON Schemas of flow files and correlation rules, for editors: completion, explanations, mistakes.

Generated from the form that the parser reads by. What one field says against another is left to
`saga check`: a schema has no words for it.
"""

from typing import assert_never

from tracker.flow.expression import EXPRESSION_LENGTH_MAX
from tracker.flow.form import (
    CORRELATION,
    FLOW,
    ITEMS_MAX,
    Cel,
    Choice,
    Each,
    Field,
    Form,
    JsonPath,
    Kind,
    Short,
    Some,
    Span,
    Table,
    Text,
    Truth,
    Variants,
    Whole,
    Word,
    Yes,
)
from tracker.flow.json_path import LENGTH_MAX

Schema = dict[str, object]

FILE_NAME = "flow.schema.json"
CORRELATION_FILE_NAME = "correlation.schema.json"

_DURATION = r"\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*"
_PERCENT = r"\s*[1-9]\d?\s*%\s*"


def json_schemas() -> dict[str, Schema]:
    """The published JSON Schemas, by file name."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        FILE_NAME: {**draft, "title": "Flow file of saga", **_schema(FLOW)},
        CORRELATION_FILE_NAME: {**draft, "title": "Correlation rule of saga", **_schema(CORRELATION)},
    }


def _schema(kind: Kind) -> Schema:
    match kind:
        case Word(pattern=pattern):
            return {"type": "string", "pattern": f"^(?:{pattern})$"}
        case Text(length_max=most):
            return {"type": "string", "maxLength": most}
        case Whole(least=least, most=most):
            return {"type": "integer", "minimum": least, "maximum": most}
        case Truth():
            return {"type": "boolean"}
        case Yes():
            return {"const": True}
        case Choice(words=words):
            return {"enum": list(words)}
        case Span(percent=percent):
            allowed = f"{_DURATION}|{_PERCENT}" if percent else _DURATION
            return {"type": "string", "pattern": f"^(?:{allowed})$"}
        case Cel():
            # An expression that YAML takes for a number or a boolean is one all the same.
            return {"type": ["string", "number", "boolean"], "maxLength": EXPRESSION_LENGTH_MAX}
        case JsonPath():
            return {"type": "string", "pattern": r"^\$[.\[]", "maxLength": LENGTH_MAX}
        case Some(item=item, least=least):
            return _or(_schema(item), {**_list(item), "minItems": least})
        case Each(item=item):
            return _list(item)
        case Table():
            return {
                "type": "object",
                "propertyNames": _schema(kind.key),
                "additionalProperties": _schema(kind.value),
                "maxProperties": kind.most,
            }
        case Form():
            return _form(kind)
        case Short(single=single, form=form):
            return _or(_schema(single), _form(form))
        case Variants(forms=forms):
            return {"anyOf": [_form(form) for form in forms]}
        case _:
            assert_never(kind)


def _form(form: Form) -> Schema:
    return {
        "type": "object",
        "properties": {field.name: _field(field) for field in form.fields},
        "required": [field.name for field in form.fields if field.required],
        "additionalProperties": False,
    }


def _field(field: Field) -> Schema:
    meaning = f"{field.meaning} Default: {field.default}." if field.default else field.meaning
    return {"description": meaning, **_schema(field.kind)}


def _list(item: Kind) -> Schema:
    return {"type": "array", "items": _schema(item), "maxItems": ITEMS_MAX}


def _or(*schemas: Schema) -> Schema:
    """One of them, without a level of its own for schemas that are alternatives already."""
    found: list[object] = []
    for schema in schemas:
        inner = schema.get("anyOf")
        found.extend(inner if isinstance(inner, list) and len(schema) == 1 else [schema])
    return {"anyOf": found}
