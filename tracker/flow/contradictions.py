"""What a flow says against itself, each field alone being right."""

from collections import Counter
from collections.abc import Iterator

from saga.core.duration import duration_text
from tracker.core.flow import (
    Answer,
    Between,
    Emit,
    Flow,
    Milestone,
    Rule,
    Silence,
    WhenBreach,
    WhenDeadLetter,
    WhenEvent,
)
from tracker.flow.problem import nearest
from tracker.flow.reading import FieldPath

Contradiction = tuple[FieldPath, str, str]
"""The field, the message and the suggestion."""

_ANY_ALONE = "`any` stands alone: it is every service"


def contradictions(flow: Flow, given: frozenset[FieldPath]) -> Iterator[Contradiction]:
    """All of them, in a draft too: "" and -1 are what is missing, and told elsewhere.

    `given` are the fields that stand in the file.
    """
    yield from _ends(flow)
    for name, milestone in flow.events.items():
        yield from _undo(name, milestone, given)
    names = Counter(rule.name for rule in flow.rules)
    for number, rule in enumerate(flow.rules):
        path: FieldPath = ("sla", number)
        if rule.name and names[rule.name] > 1:
            yield (*path, "name"), f"several rules are named `{rule.name}`: give each a name of its own", ""
        yield from _clock(rule, path)
        yield from _rule(rule, path, flow, given)
        if (
            len(
                emitted := [each for each in given if each[:3] == (*path, "on_breach") and each[-1] == "emit"]
            )
            > 1
        ):
            yield max(emitted), "one `emit` is the most: let a service react to it with more events", ""
    yield from _compensation(flow, given)
    for number, pause in enumerate(flow.pauses):
        if isinstance(pause, WhenDeadLetter) and "any" in pause.services:
            yield ("pause", "when", number, "dead_letter"), _ANY_ALONE, ""


def _ends(flow: Flow) -> Iterator[Contradiction]:
    for name, types in (("completed", flow.completed), ("failed", flow.failed)):
        for number, event in enumerate(types):
            path: FieldPath = ("ends", name, number)
            if event and event == flow.begins:
                yield path, f"`{event}` begins the flow, so it can't end it", ""
            if event and event in types[:number]:
                yield path, f"`{event}` stands here twice: remove one", ""
            if event and name == "failed" and event in flow.completed:
                yield path, f"`{event}` is in `completed` too: a saga has either failed or not", ""


def _undo(name: str, milestone: Milestone, given: frozenset[FieldPath]) -> Iterator[Contradiction]:
    path: FieldPath = ("events", name)
    if (*path, "undo") not in given:
        for field in ("undone", "undo_within", "undo_attempts"):
            if (*path, field) in given:
                yield (*path, field), f"`{field}` says something of an undo, but there is no `undo`", ""
        return
    if (*path, "undone") not in given:
        message = (
            "`undone` is missing: which event confirms the undo? Without it nobody knows that it is done"
        )
        yield (*path, "undo"), message, ""
    if milestone.undo is None:
        return
    command, confirmed = milestone.undo.command.type, milestone.undo.confirmed
    if command == name:
        yield (*path, "undo"), f"`{name}` can't undo itself", ""
    if confirmed and confirmed in (name, command):
        yield (*path, "undone"), f"`{confirmed}` can't confirm the undo: that is for an event of its own", ""


def _clock(rule: Rule, path: FieldPath) -> Iterator[Contradiction]:
    if 0 <= rule.within_ms <= rule.warn_ms:
        within = duration_text(rule.within_ms)
        yield (*path, "warn_at"), f"a warning has to come before the breach, which is after {within}", ""


def _rule(rule: Rule, path: FieldPath, flow: Flow, given: frozenset[FieldPath]) -> Iterator[Contradiction]:
    match rule:
        case Between():
            if rule.start in flow.ends and (*path, "from") in given:
                yield (*path, "from"), f"`{rule.start}` ends the saga: no clock starts there", ""
            for number, event in enumerate(rule.ends):
                if event and event == rule.start:
                    yield (*path, "to", number), f"`{event}` starts the clock, so it can't stop it", ""
        case Answer():
            if rule.event in flow.ends:
                message = f"`{rule.event}` ends the saga: nothing is waited for after it"
                yield (*path, "event"), message, ""
        case Silence():
            pass


def _compensation(flow: Flow, given: frozenset[FieldPath]) -> Iterator[Contradiction]:
    compensation = flow.compensation
    rules = {rule.name for rule in flow.rules if rule.name}
    for number, trigger in enumerate(compensation.triggers):
        path: FieldPath = ("compensate", "when", number)
        match trigger:
            case WhenBreach(rule=wanted) if wanted and wanted not in rules:
                known = f"the rules are {', '.join(sorted(rules))}" if rules else "`sla` has no rules"
                yield (
                    (*path, "breach"),
                    f"no rule of `sla` is named `{wanted}`: {known}",
                    nearest(wanted, rules),
                )
            case WhenDeadLetter(services=services) if "any" in services:
                yield (*path, "dead_letter"), _ANY_ALONE, ""
            case WhenEvent(type=event, condition=None) if event in flow.completed:
                message = f"`{event}` completes the saga, and here it would always undo it: add an `if`"
                yield (*path, "event"), message, ""
            case WhenEvent(type=event) if event and event == _type(compensation.then):
                yield (*path, "event"), f"`{event}` is also `then`: undone sagas would be undone again", ""
    if _type(compensation.then) in flow.completed:
        message = f"`{_type(compensation.then)}` is in `completed`, but what is undone has not completed"
        yield ("compensate", "then"), message, ""
    if not any(("events", name, "undo") in given for name in flow.events) and compensation.then is None:
        if compensation.triggers:
            yield ("compensate",), "no event has an `undo`, and there is no `then`: nothing would be done", ""
        for number, rule in enumerate(flow.rules):
            if rule.on_breach.compensate:
                message = "no event has an `undo`, and there is no `then`: `compensate` would do nothing"
                yield ("sla", number, "on_breach"), message, ""


def _type(emit: Emit | None) -> str:
    return "" if emit is None else emit.type
