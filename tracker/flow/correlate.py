"""The form of a correlation rule, as it was read, becomes a `Rule`."""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import structs

from tracker.core.correlation import Constant, Header, Key, Moment, Path, Place, Rule
from tracker.flow import form
from tracker.flow.reading import FieldPath, Filled

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def rule_of(filled: Filled, source: str) -> Rule:
    """The rule that these fields say; none of them may be missing or wrong."""
    fields = filled.fields
    saga: tuple[Filled | None, ...] = fields.get("saga", ())
    return Rule(
        name=fields["correlate"],
        version=fields["version"],
        topics=fields["topics"],
        saga=_places(each for each in saga if each is not None and "keys" not in each.fields),
        type=_places(fields.get("type")),
        id=_places(fields.get("id")),
        time=tuple(_moments(fields.get("time"))),
        cause=_places(fields.get("cause")),
        key=_places(fields.get("key")),
        origin=_places(fields.get("source")),
        description=fields.get("description", ""),
        source=source,
        keys=tuple((name, _places(places)) for name, places in _keys(saga).items()),
    )


def same_rule(one: Rule, other: Rule) -> bool:
    """Whether they make the same of each record: comments, layout and the description may differ."""
    bare = {"source": "", "description": ""}
    return structs.replace(one, **bare) == structs.replace(other, **bare)


def _places(read: Iterable[Filled | None] | None) -> tuple[Place, ...]:
    places = (None if filled is None else _place(filled.fields) for filled in read or ())
    return tuple(place for place in places if place is not None)


def _keys(saga: Iterable[Filled | None]) -> dict[str, Any]:
    return next((each.fields["keys"] for each in saga if each is not None and "keys" in each.fields), {})


def _moments(read: Iterable[Filled | None] | None) -> Iterable[Moment]:
    for filled in read or ():
        place = None if filled is None else _place(filled.fields)
        if filled is not None and place is not None:
            yield Moment(place, _PER_SECOND[filled.fields.get("unit", "ms")])


def _place(fields: dict[str, Any]) -> Place | None:
    prefix = fields.get("prefix", "")
    if "header" in fields:
        return Header(fields["header"], prefix)
    if "key" in fields:
        return Key(prefix)
    if "path" in fields:
        return Path(fields["path"], prefix)
    return Constant(fields["value"]) if "value" in fields else None


def is_rule(names: frozenset[str]) -> bool:
    """Whether a file with these fields is meant as a rule, and not as a flow."""
    flow, rule = (frozenset(field.name for field in each.fields) for each in (form.FLOW, form.CORRELATION))
    return "correlate" in names or ("flow" not in names and len(names & rule) > len(names & flow))


def rule_contradictions(rule: Rule) -> Iterator[tuple[FieldPath, str]]:
    """What is well said and can't be meant."""
    for field, places, why in (
        ("saga", rule.saga, "all records would be of one saga"),
        ("id", rule.id, "each event needs an id of its own"),
    ):
        for number, place in enumerate(places):
            if isinstance(place, Constant):
                yield (field, number), f"`{field}` can't be always the same: {why}"
    if rule.keys and rule.saga:
        yield ("saga",), "`keys` stand alone: put what else may name the saga into one of them"
    if len(rule.keys) == 1:
        yield ("saga", "keys"), f"one key joins nothing: write its place, with `prefix: '{rule.keys[0][0]}:'`"
    for name, places in rule.keys:
        for number, place in enumerate(places):
            if isinstance(place, Constant):
                why = "all records would be of one saga"
                yield ("saga", "keys", name, number), f"`{name}` can't be always the same: {why}"


def contradicting_key(rule: Rule, other: Rule) -> str:
    """A key that both have, where they do not name the same keys in the same order; "" if they agree.

    One may have more of them at its end.
    """
    ours, theirs = ([name for name, _ in each.keys] for each in (rule, other))
    if all(one == another for one, another in zip(ours, theirs, strict=False)):
        return ""
    return next((name for name in ours if name in theirs), "")
