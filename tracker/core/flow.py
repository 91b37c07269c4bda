"""A flow: one named kind of saga, as its file describes it. What the parser makes and `advance` follows.

All durations are milliseconds. "" stands for a name that is not given, -1 for a duration that is not.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal, Protocol

from msgspec import Struct

from saga.core.errors import SagaError


class ExpressionFailed(SagaError):
    """An expression of a flow file has no value for this event. The message says why."""


class Expression(Protocol):
    """A compiled expression of a flow file.

    Its variables: `data`, the payload of the event it is about; `first`, the payload of the event that
    began the saga; `event`, its `id`, `type`, `source` and `time_ms`; `saga`, its `id` and `key`;
    `reason`, why the saga is compensated ("" elsewhere).
    """

    @property
    def text(self) -> str: ...

    def evaluate(self, variables: Mapping[str, object]) -> object:
        """Its value, made of JSON's types.

        Raises
        ------
        ExpressionFailed
            A field it names does not exist, or has a type that the operation does not take.
        """


class Emit(Struct, frozen=True):
    """An event that the tracker publishes. Without `data` it carries the payload it was derived from."""

    type: str
    data: Mapping[str, Expression] = {}


class Undo(Struct, frozen=True):
    """How an event is undone: a command, and the event that confirms it."""

    command: Emit
    confirmed: str
    within_ms: int = 60_000
    attempts: int = 3


class Milestone(Struct, frozen=True):
    """What a flow says of one event type. Behind a `pivot` nothing is undone by itself."""

    by: str = ""
    undo: Undo | None = None
    pivot: bool = False


class OnBreach(Struct, frozen=True):
    """What is done when a deadline passes. A breach is always told on `saga.lifecycle`."""

    alert: bool = True
    compensate: bool = False
    emit: Emit | None = None


class Between(Struct, frozen=True, tag=True):
    """From the first `start` to the first of `ends` after it; without `ends` to the end of the saga."""

    name: str
    within_ms: int
    start: str
    ends: tuple[str, ...] = ()
    warn_ms: int = -1
    on_breach: OnBreach = OnBreach()


class Silence(Struct, frozen=True, tag=True):
    """Never so long without an event, until the saga ends."""

    name: str
    within_ms: int
    warn_ms: int = -1
    on_breach: OnBreach = OnBreach()


class Answer(Struct, frozen=True, tag=True):
    """`service` has done with each `event` so soon after its time. Each event has a clock of its own."""

    name: str
    within_ms: int
    event: str
    service: str
    warn_ms: int = -1
    on_breach: OnBreach = OnBreach()


Rule = Between | Silence | Answer


class WhenEvent(Struct, frozen=True, tag_field="when", tag=True):
    """Compensate when such an event has come, and the condition holds for it."""

    type: str
    condition: Expression | None = None


class WhenDeadLetter(Struct, frozen=True, tag_field="when", tag=True):
    """Compensate when a service gave an event up; without `services` any of them."""

    services: tuple[str, ...] = ()


class WhenBreach(Struct, frozen=True, tag_field="when", tag=True):
    """Compensate when this rule is breached."""

    rule: str


class WhenRetries(Struct, frozen=True, tag_field="when", tag=True):
    """Pause when a handler has failed so often with one event, and is going to try again."""

    attempts: int


Trigger = WhenEvent | WhenDeadLetter | WhenBreach


class Compensation(Struct, frozen=True):
    """When and how sagas of the flow are undone; `then` is published when all of it is confirmed."""

    triggers: tuple[Trigger, ...] = ()
    order: Literal["reverse", "parallel"] = "reverse"
    then: Emit | None = None


class Flow(Struct, frozen=True, dict=True):
    """One version of a flow. `source` is the text of its file. What is asked for at each step is kept."""

    name: str
    version: int
    begins: str
    completed: tuple[str, ...]
    failed: tuple[str, ...] = ()
    events: Mapping[str, Milestone] = {}
    rules: tuple[Rule, ...] = ()
    compensation: Compensation = Compensation()
    pauses: tuple[WhenDeadLetter | WhenRetries, ...] = ()
    description: str = ""
    source: str = ""

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """The event types with which a saga of the flow is over."""
        return (*self.completed, *self.failed)

    @cached_property
    def pivots(self) -> tuple[str, ...]:
        """The event types behind which nothing is undone by itself."""
        return tuple(name for name, milestone in self.events.items() if milestone.pivot)

    @cached_property
    def undoes(self) -> Mapping[str, Undo]:
        """How each event type is undone that can be."""
        return {name: milestone.undo for name, milestone in self.events.items() if milestone.undo is not None}

    @cached_property
    def undo_words(self) -> frozenset[str]:
        """The types of commands and confirmations, which are not part of the way forward."""
        return frozenset(
            name for undo in self.undoes.values() for name in (undo.command.type, undo.confirmed)
        )

    @cached_property
    def watched(self) -> Mapping[str, tuple[WhenEvent, ...]]:
        """The triggers on each event type that has any."""
        found: dict[str, tuple[WhenEvent, ...]] = {}
        for trigger in self.compensation.triggers:
            if isinstance(trigger, WhenEvent):
                found[trigger.type] = (*found.get(trigger.type, ()), trigger)
        return found

    @cached_property
    def dead_letters(self) -> tuple[WhenDeadLetter, ...]:
        """The triggers on dead letters."""
        return tuple(trigger for trigger in self.compensation.triggers if isinstance(trigger, WhenDeadLetter))

    @cached_property
    def retries_watched(self) -> int:
        """After how many failed attempts a pause may be due; 0 for never."""
        return min((rule.attempts for rule in self.pauses if isinstance(rule, WhenRetries)), default=0)

    @cached_property
    def times_answers(self) -> bool:
        """Whether a rule is about how soon a service answers, so that receipts move its clocks."""
        return any(isinstance(rule, Answer) for rule in self.rules)

    @cached_property
    def decisive(self) -> frozenset[str] | None:
        """The event types that can end a saga, move a clock or trigger something; None if all can."""
        found = {self.begins, *self.ends, *self.watched}
        for rule in self.rules:
            match rule:
                case Between():
                    found |= {rule.start, *rule.ends}
                case Answer():
                    found.add(rule.event)
                case Silence():
                    return None
        return frozenset(found)

    @cached_property
    def payloads(self) -> frozenset[str]:
        """The event types whose payload is needed: to undo them, to derive from them, for a condition."""
        needed = set(self.undoes)
        needed |= {
            name
            for name, triggers in self.watched.items()
            if any(trigger.condition is not None for trigger in triggers)
        }
        emitting = any(rule.on_breach.emit is not None for rule in self.rules)
        if needed or emitting or self.compensation.then is not None:
            needed.add(self.begins)
        return frozenset(needed)


class Flows:
    """All flows that are known, in all their versions.

    Parameters
    ----------
    retired : versions, by name and number, that begin no more sagas; those they began go on.
    """

    def __init__(
        self, flows: tuple[Flow, ...] = (), retired: frozenset[tuple[str, int]] = frozenset()
    ) -> None:
        self._by_version = {(flow.name, flow.version): flow for flow in flows}
        newest: dict[str, Flow] = {}
        for flow in sorted(self._by_version.values(), key=lambda flow: (flow.version, flow.name)):
            newest[flow.name] = flow
        self._newest = newest
        self.retired = retired
        self._beginning = {
            flow.begins: flow for flow in newest.values() if (flow.name, flow.version) not in retired
        }
        self.payloads = frozenset(name for flow in self._by_version.values() for name in flow.payloads)
        """Event types whose payload is needed by a version that may still have open sagas."""

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._by_version.values())

    def beginning(self, event_type: str) -> Flow | None:
        """The newest version of the flow that such an event begins, unless it is retired."""
        return self._beginning.get(event_type)

    def newest(self, name: str) -> Flow | None:
        """The newest version of a flow, retired or not; None when no version is known."""
        return self._newest.get(name)

    def get(self, name: str, version: int) -> Flow | None:
        """One version of a flow; None when it is not known."""
        return self._by_version.get((name, version))
