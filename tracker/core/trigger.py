"""What triggers a compensation or a pause, found among the news of one step."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tracker.core.flow import ExpressionFailed, Flow, WhenDeadLetter, WhenEvent, WhenRetries
from tracker.core.status import standings
from tracker.core.timeline import Timeline
from tracker.core.variables import variables
from tracker.core.words import plural


class Triggered(NamedTuple):
    """A reason to compensate, or, with `unanswered`, a condition that could not say whether there is one."""

    reason: str
    event: str
    at_ms: int
    unanswered: bool = False


def by_events(flow: Flow, timeline: Timeline, saga_id: str, events: Iterable[str]) -> Iterator[Triggered]:
    """What these events trigger."""
    watched = flow.watched
    for event in events:
        seen = timeline.step(event).seen
        for trigger in () if seen is None else watched.get(seen.type, ()):
            assert seen is not None
            try:
                if _holds(trigger, timeline, saga_id, event):
                    yield Triggered(seen.type, event, seen.time_ms)
            except ExpressionFailed as error:
                condition = "" if trigger.condition is None else trigger.condition.text
                reason = f"the condition {condition!r} on {seen.type} has no answer: {error}"
                yield Triggered(reason, event, seen.time_ms, unanswered=True)


class Failing(NamedTuple):
    """A reason to pause: how a service failed with an event, and the time of that attempt."""

    reason: str
    event: str
    service: str
    at_ms: int


def failing(flow: Flow, timeline: Timeline, events: Iterable[str], *, undoing: bool) -> Iterator[Failing]:
    """What the flow pauses a saga for, among the answers to these events.

    While it is `undoing`, what an answer is about has to be known: it may be a command to undo something,
    which is read later than its answer when it stands on another topic.
    """
    for event in events:
        step = timeline.steps.get(event)
        if step is None or (undoing if step.seen is None else step.seen.type in flow.undo_words):
            continue
        event_type = "an event" if step.seen is None else step.seen.type
        for service, handling in standings(step).items():
            last = handling.standing
            for rule in flow.pauses:
                match rule:
                    case WhenDeadLetter(services):
                        meant = last.outcome == "dead-lettered" and (not services or service in services)
                        reason = f"{service} gave up {event_type}"
                    case WhenRetries(attempts):
                        meant = last.outcome == "retrying" and last.number >= attempts
                        reason = f"{service} has failed {plural(last.number, 'time')} with {event_type}"
                if meant:
                    yield Failing(reason, event, service, last.at_ms)
                    break


def _holds(trigger: WhenEvent, timeline: Timeline, saga_id: str, event: str) -> bool:
    if trigger.condition is None:
        return True
    value = trigger.condition.evaluate(variables(timeline, saga_id, event, ""))
    if isinstance(value, bool):
        return value
    raise ExpressionFailed(f"its value is {value!r}, but a condition is true or false")


def by_dead_letters(flow: Flow, timeline: Timeline, events: Iterable[str]) -> Iterator[Triggered]:
    """What it triggers that a service gave one of these events up: not commands and confirmations of ours."""
    triggers = flow.dead_letters
    if not triggers:
        return
    for event in events:
        step = timeline.steps.get(event)
        if step is None or (step.seen is not None and step.seen.type in flow.undo_words):
            continue
        for service, handling in standings(step).items():
            meant = any(not trigger.services or service in trigger.services for trigger in triggers)
            if meant and handling.standing.outcome == "dead-lettered":
                event_type = "an event" if step.seen is None else step.seen.type
                yield Triggered(f"{service} gave up {event_type}", event, handling.standing.at_ms)
