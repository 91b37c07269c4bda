"""Payloads as they may be shown: by the JSON Schemas that services announce of their events.

What a schema marks as sensitive is masked, and so is all that no schema speaks of. Where several speak of
the same value, one that marks it is enough.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import json

from saga.core.errors import SagaError

MASK = "***"
SENSITIVE = "x-sensitive"
"""Stands in the schema of a value that is to be masked, with `true`."""

_DEPTH_MAX = 100
_REFERENCES_MAX = 20
_TOGETHER = ("anyOf", "oneOf", "allOf")
_TYPES: Mapping[type, tuple[str, ...]] = {
    str: ("string",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    type(None): ("null",),
}

Schema = Mapping[str, Any] | bool


class Masked(NamedTuple):
    """A value as it may be shown, and where something was masked in it (JSON Pointers, RFC 6901)."""

    value: object
    places: tuple[str, ...]


class _Part(NamedTuple):
    """A schema, and the whole that its references lead into."""

    schema: Schema
    whole: Schema


def masked(value: object, schemas: Sequence[Schema]) -> Masked:
    """The value as these schemas of its event let it be shown; without any nothing is."""
    places: list[str] = []
    shown = _shown(value, [_Part(schema, schema) for schema in schemas], "", places, 0)
    return Masked(shown, tuple(places))


class StillMasked(SagaError):
    """A value was changed around one that is masked, so that it can't be told which one that is."""


def unmasked(changed: object, shown: object, original: object) -> object:
    """What somebody has made of a value of which they saw `shown`: where they left a mask the value stays.

    Raises
    ------
    StillMasked
        A mask stands where none was. The message says where.
    """
    return _unmasked(changed, shown, original, "")


def _unmasked(changed: object, shown: object, original: object, place: str) -> object:
    if isinstance(changed, dict):
        here, there = (each if isinstance(each, dict) else {} for each in (shown, original))
        return {
            key: _unmasked(each, here.get(key), there.get(key), f"{place}/{_escaped(key)}")
            for key, each in changed.items()
        }
    if isinstance(changed, list) and not _same(changed, shown):
        pairs = list(zip(_list(shown), _list(original), strict=True))
        return [_unmasked_item(each, pairs, f"{place}/{index}") for index, each in enumerate(changed)]
    if _same(changed, shown):
        return original
    if changed == MASK:
        raise StillMasked(f"{MASK} at {place or 'the top'} stands for nothing there: write the value itself")
    return changed


def _unmasked_item(item: object, pairs: Sequence[tuple[object, object]], place: str) -> object:
    """Of a list an item that is as it was, wherever it stands now; another one must have no mask."""
    found = [original for shown, original in pairs if _same(shown, item)]
    if found and all(_same(each, found[0]) for each in found):
        return found[0]
    return _unmasked(item, None, None, place)


def _same(one: object, other: object) -> bool:
    # In Python 1 is True, and 1.0.
    return json.encode(one, order="deterministic") == json.encode(other, order="deterministic")


def _shown(value: object, parts: Sequence[_Part], place: str, places: list[str], depth: int) -> object:
    found = [each for part in parts for each in _branches(part)]
    if not found or depth > _DEPTH_MAX or any(_sensitive(part.schema) for part in found):
        places.append(place)
        return MASK
    if isinstance(value, dict):
        return {
            key: _shown(each, _properties(found, key), f"{place}/{_escaped(key)}", places, depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [
            _shown(each, _items(found, index), f"{place}/{index}", places, depth + 1)
            for index, each in enumerate(value)
        ]
    if any(_speaks_of(part.schema, value) for part in found):
        return value
    places.append(place)
    return MASK


def _branches(part: _Part) -> Iterator[_Part]:
    """The schema and all that it consists of: a value may be any of them."""
    pending, passed = [part], 0
    while pending:
        schema, whole = pending.pop()
        if isinstance(schema, bool):
            if schema:
                yield _Part(schema, whole)
            continue
        reference = schema.get("$ref")
        if reference is not None:
            passed += 1
            target = _resolved(reference, whole)
            if target is None or passed > _REFERENCES_MAX:
                yield _Part({SENSITIVE: True}, whole)  # it can't be known what is said of it
                return
            pending.append(_Part(target, whole))
        for name in _TOGETHER:
            pending += [_Part(each, whole) for each in _list(schema.get(name))]
        yield _Part(schema, whole)


def _properties(parts: Iterable[_Part], key: str) -> list[_Part]:
    """What is said of a property; nothing where the object is known and this one is not."""
    return [_Part(each, whole) for schema, whole in parts for each in _property_schemas(schema, key)]


def _property_schemas(schema: Schema, key: str) -> Iterator[Schema]:
    if isinstance(schema, bool):
        yield schema
        return
    if not _may_be(schema, "object"):
        return
    named, patterns = schema.get("properties"), schema.get("patternProperties")
    if isinstance(named, Mapping) and key in named:
        yield named[key]
        return
    if isinstance(patterns, Mapping):
        yield from patterns.values()
    others = schema.get("additionalProperties")
    if others is not None:
        yield others
    elif named is None and patterns is None and _anything(schema):
        yield True


def _items(parts: Iterable[_Part], index: int) -> list[_Part]:
    found: list[_Part] = []
    for schema, whole in parts:
        if isinstance(schema, bool):
            found.append(_Part(schema, whole))
            continue
        first = _list(schema.get("prefixItems"))
        if not _may_be(schema, "array"):
            continue
        if index < len(first):
            found.append(_Part(first[index], whole))
        elif "items" in schema:
            found.append(_Part(schema["items"], whole))
        elif not first and _anything(schema):
            found.append(_Part(True, whole))
    return found


def _anything(schema: Mapping[str, Any]) -> bool:
    """Whether its author leaves open what is inside: a plain `dict`, `list` or `Any`."""
    return not any(name in schema for name in ("$ref", "enum", "const", *_TOGETHER))


def _may_be(schema: Mapping[str, Any], *types: str) -> bool:
    told = schema.get("type")
    return told is None or bool(set(types) & ({told} if isinstance(told, str) else set(told)))


def _speaks_of(schema: Schema, value: object) -> bool:
    """Whether a value that is neither object nor array can be what the schema describes."""
    if isinstance(schema, bool):
        return True
    if "type" in schema:
        return _may_be(schema, *_TYPES[type(value)])
    return _anything(schema) or value in _list(schema.get("enum")) or value == schema.get("const", MASK)


def _sensitive(schema: Schema) -> bool:
    if isinstance(schema, bool):
        return False
    # A secret of pydantic is marked so.
    return schema.get(SENSITIVE) is True or schema.get("writeOnly") is True


def _resolved(reference: object, whole: Schema) -> Schema | None:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = whole
    for name in reference.removeprefix("#").split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found if isinstance(found, Mapping | bool) else None


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
