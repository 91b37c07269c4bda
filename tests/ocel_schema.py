"""What OCEL 2.0 wants of a log in JSON, after section 8.3 of its specification."""

from collections.abc import Mapping

from jsonschema import Draft202012Validator, FormatChecker

Schema = Mapping[str, object]

_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "format": "date-time"}


def _list_of(required: Mapping[str, Schema], others: Mapping[str, Schema] | None = None) -> Schema:
    properties = {**required, **(others or {})}
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": properties,
            "required": list(required),
            "additionalProperties": False,
        },
    }


_TYPES = _list_of({"name": _TEXT, "attributes": _list_of({"name": _TEXT, "type": _TEXT})})
_RELATIONSHIPS = _list_of({"objectId": _TEXT, "qualifier": _TEXT})

OCEL: Schema = {
    "type": "object",
    "properties": {
        "eventTypes": _TYPES,
        "objectTypes": _TYPES,
        "events": _list_of(
            {"id": _TEXT, "type": _TEXT, "time": _TIME},
            {"attributes": _list_of({"name": _TEXT, "value": _TEXT}), "relationships": _RELATIONSHIPS},
        ),
        "objects": _list_of(
            {"id": _TEXT, "type": _TEXT},
            {
                "attributes": _list_of({"name": _TEXT, "value": _TEXT, "time": _TIME}),
                "relationships": _RELATIONSHIPS,
            },
        ),
    },
    "required": ["eventTypes", "objectTypes", "events", "objects"],
    "additionalProperties": False,
}


def check_ocel(log: dict[str, list[dict[str, object]]]) -> None:
    """Fail if the log is not as it should be: its form, and what a schema can't say."""
    Draft202012Validator(OCEL, format_checker=FormatChecker()).validate(log)
    for what, types in (("events", "eventTypes"), ("objects", "objectTypes")):
        ids = [each["id"] for each in log[what]]
        assert len(set(ids)) == len(ids), f"{what} have unique ids"
        declared = {each["name"]: {a["name"] for a in each["attributes"]} for each in log[types]}  # type: ignore[attr-defined]
        for each in log[what]:
            names = {attribute["name"] for attribute in each["attributes"]}  # type: ignore[attr-defined]
            assert names <= declared[each["type"]], each
    objects = {each["id"] for each in log["objects"]}
    for each in (*log["events"], *log["objects"]):
        assert {to["objectId"] for to in each["relationships"]} <= objects, each  # type: ignore[attr-defined]
