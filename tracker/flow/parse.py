"""A file's text becomes a `Flow` or a correlation `Rule`, or everything that is wrong with it at once."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, structs

from tracker.core.correlation import Rule as CorrelationRule
from tracker.core.flow import (
    Answer,
    Between,
    Compensation,
    Emit,
    Flow,
    Milestone,
    OnBreach,
    Rule,
    Silence,
    Trigger,
    Undo,
    WhenBreach,
    WhenDeadLetter,
    WhenEvent,
    WhenRetries,
)
from tracker.flow import document, form
from tracker.flow.contradictions import contradictions
from tracker.flow.correlate import is_rule, rule_contradictions, rule_of
from tracker.flow.document import read_document
from tracker.flow.problem import Place, Problem
from tracker.flow.reading import FieldPath, Filled, Percent, Reading

PROBLEMS_MAX = 100
_MESSAGE_LENGTH_MAX = 500


class FlowFile(Struct, frozen=True):
    """What became of one file.

    Attributes
    ----------
    flow : None when there are problems.
    rule : the correlation rule, where the file holds one instead of a flow; None when there are problems.
    draft : as much of the flow as can be read, with "" for each name and -1 for each duration that is
        missing or wrong; None when nothing can be read.
    places, keys : where each value stands, and each name of a field, by path: `("sla", 0, "within")`.
    """

    file: str
    text: str
    flow: Flow | None
    draft: Flow | None
    problems: tuple[Problem, ...]
    places: Mapping[FieldPath, Place] = {}
    keys: Mapping[FieldPath, Place] = {}
    rule: CorrelationRule | None = None


def parse(text: str, file: str = "") -> FlowFile:
    """Read the text of a file; `file` is its name in problems. Never raises."""
    root, broken = read_document(text, file)
    if root is None:
        return FlowFile(file, text, None, None, _shown(broken))
    if isinstance(root, document.Mapping) and is_rule(frozenset(key.text for key, _ in root.entries)):
        return _parse_rule(root, text, file, broken)
    reading = Reading(file)
    filled = reading.read(root, form.FLOW)
    draft = None if filled is None else _flow(filled, text)
    problems = {*broken, *reading.problems}
    if draft is not None:
        for path, message, suggestion in contradictions(draft, frozenset(reading.keys)):
            place = place_of(reading.places, path)
            problems.add(Problem(file, place.line, place.column, message, suggestion))
    return FlowFile(
        file,
        text,
        None if problems else draft,
        draft,
        _shown(problems),
        reading.places,
        reading.keys,
    )


def _parse_rule(root: document.Mapping, text: str, file: str, broken: Iterable[Problem]) -> FlowFile:
    reading = Reading(file, form.CORRELATION.title)
    filled = reading.read(root, form.CORRELATION)
    problems = {*broken, *reading.problems}
    rule = None if problems else rule_of(filled, text)
    if rule is not None:
        for path, message in rule_contradictions(rule):
            problems.add(Problem(file, *place_of(reading.places, path), message))
    rule = None if problems else rule
    return FlowFile(file, text, None, None, _shown(problems), reading.places, reading.keys, rule)


def _shown(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """In the order of the file, each once, and no more than a record on Kafka can hold."""
    found = sorted(set(problems))
    shown = [
        structs.replace(problem, message=problem.message[:_MESSAGE_LENGTH_MAX] + "…")
        if len(problem.message) > _MESSAGE_LENGTH_MAX
        else problem
        for problem in found[:PROBLEMS_MAX]
    ]
    if len(found) > PROBLEMS_MAX:
        next_ = found[PROBLEMS_MAX]
        left = f"and {len(found) - PROBLEMS_MAX:,} more problems: mend those above first"
        shown.append(structs.replace(next_, message=left, suggestion=""))
    return tuple(shown)


def place_of(places: Mapping[FieldPath, Place], path: FieldPath) -> Place:
    """Where a value stands, or the nearest thing around it that is there."""
    while path and path not in places:
        path = path[:-1]
    return places.get(path, Place())


def same_meaning(one: Flow, other: Flow) -> bool:
    """Whether sagas fare the same: comments, layout and the description may differ."""
    bare = {"source": "", "description": ""}
    return structs.replace(one, **bare) == structs.replace(other, **bare)


def _flow(filled: Filled, source: str) -> Flow:
    fields = filled.fields
    begins = fields.get("begins", "")
    ends = _fields(fields.get("ends"))
    return Flow(
        name=fields.get("flow", ""),
        version=fields.get("version", -1),
        begins=begins,
        completed=_names(ends.get("completed", ())),
        failed=_names(ends.get("failed", ())),
        events={name: _milestone(_fields(value)) for name, value in fields.get("events", {}).items()},
        rules=tuple(_rule(rule, begins) for rule in fields.get("sla", ())),
        compensation=_compensation(_fields(fields.get("compensate"))),
        pauses=tuple(_pause(rule) for rule in _fields(fields.get("pause")).get("when", ())),
        description=fields.get("description", ""),
        source=source,
    )


def _milestone(fields: dict[str, Any]) -> Milestone:
    undo = None
    if "undo" in fields or "undone" in fields:
        given = {"within_ms": "undo_within", "attempts": "undo_attempts"}
        bounds = {name: fields[field] for name, field in given.items() if field in fields}
        undo = Undo(_emit(fields.get("undo")), fields.get("undone", ""), **bounds)
    return Milestone(fields.get("by", ""), undo, fields.get("pivot", False))


def _rule(filled: Filled | None, begins: str) -> Rule:
    form_, fields = (form.BETWEEN, {}) if filled is None else (filled.form, filled.fields)
    within = fields.get("silence" if form_ is form.SILENCE else "within", -1)
    warn = fields.get("warn_at", -1)
    if isinstance(warn, Percent):
        warn = -1 if within < 0 else within * warn.value // 100
    common = {
        "name": fields.get("name", ""),
        "within_ms": within,
        "warn_ms": warn,
        "on_breach": _on_breach(fields.get("on_breach", ("alert",))),
    }
    if form_ is form.SILENCE:
        return Silence(**common)
    if form_ is form.ANSWER:
        return Answer(event=fields.get("event", ""), service=fields.get("by", ""), **common)
    return Between(start=fields.get("from", begins), ends=_names(fields.get("to", ())), **common)


def _on_breach(actions: Iterable[Filled | str | None]) -> OnBreach:
    actions = tuple(actions)
    emitted = next((action for action in actions if isinstance(action, Filled)), None)
    return OnBreach(
        alert="alert" in actions,
        compensate="compensate" in actions,
        emit=None if emitted is None else _emit(emitted),
    )


def _compensation(fields: dict[str, Any]) -> Compensation:
    then = fields.get("then")
    return Compensation(
        tuple(_trigger(trigger) for trigger in fields.get("when", ())),
        fields.get("order", "reverse"),
        None if then is None else _emit(then),
    )


def _trigger(filled: Filled | None) -> Trigger:
    if filled is None:
        return WhenEvent("")
    fields = filled.fields
    if filled.form is form.WHEN_DEAD_LETTER:
        return _dead_letter(fields)
    if filled.form is form.WHEN_BREACH:
        return WhenBreach(fields.get("breach", ""))
    return WhenEvent(fields.get("event", ""), fields.get("if"))


def _pause(filled: Filled | None) -> WhenDeadLetter | WhenRetries:
    fields = _fields(filled)
    return WhenRetries(fields.get("retries", 0)) if "retries" in fields else _dead_letter(fields)


def _dead_letter(fields: dict[str, Any]) -> WhenDeadLetter:
    services = _names(fields.get("dead_letter", ()))
    return WhenDeadLetter(() if services == ("any",) else services)


def _emit(value: Filled | str | None) -> Emit:
    if not isinstance(value, Filled):
        return Emit(value or "")
    fields = value.fields
    data = {name: expression for name, expression in fields.get("with", {}).items() if expression is not None}
    return Emit(fields.get("event", fields.get("emit", "")), data)


def _fields(filled: Filled | None) -> dict[str, Any]:
    return {} if filled is None else filled.fields


def _names(found: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(name or "" for name in found)
