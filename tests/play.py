"""The tracker's core on a stage: facts and time in, effects out, without Kafka."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import json, structs

from saga.core.receipt import Publication, ServiceAnnouncement, Subscription
from tests.facts import NOON_MS, event
from tracker.core.advance import World, advance
from tracker.core.course import Course, UndoState
from tracker.core.effect import Alert, Effect, Lifecycle, Publish, Reply
from tracker.core.flow import (
    Between,
    Compensation,
    Emit,
    ExpressionFailed,
    Flow,
    Flows,
    Milestone,
    Undo,
    WhenEvent,
)
from tracker.core.frame import EventSeen, Fact
from tracker.core.saga import Saga
from tracker.core.subscriptions import Subscriptions

SAGA = "s-1"


class Formula:
    """An expression written in Python, so that the core's tests need no parser."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        self._function = function
        self.text = "formula"

    def evaluate(self, variables: Mapping[str, object]) -> object:
        try:
            return self._function(variables)
        except KeyError as error:
            raise ExpressionFailed(f"no such field: {error}") from error


def services(*without: str) -> Subscriptions:
    """Who handles and publishes what in the order flow."""
    return Subscriptions(announcements(*without))


def announcements(*without: str) -> list[ServiceAnnouncement]:
    """The same as services announce it."""
    handled = {
        "inventory": ["order.placed", "stock.release"],
        "payments": ["stock.reserved", "payment.refund"],
        "shipping": ["payment.charged"],
    }
    published = {
        "orders": ["order.placed", "order.cancelled"],
        "inventory": ["stock.reserved", "stock.released"],
        "payments": ["payment.charged", "payment.declined", "payment.refunded"],
        "shipping": ["parcel.dispatched", "parcel.lost"],
    }
    return [
        ServiceAnnouncement(
            name,
            [Subscription(kind, f"{name}-topic", "handle") for kind in handled.get(name, [])],
            [Publication(kind, f"{name}-topic", "handle") for kind in kinds],
        )
        for name, kinds in published.items()
        if name not in without
    ]


ORDER = Flow(
    name="order",
    version=1,
    begins="order.placed",
    completed=("parcel.dispatched",),
    failed=("order.cancelled",),
    events={
        "stock.reserved": Milestone(
            "inventory", Undo(Emit("stock.release"), "stock.released", within_ms=1_000, attempts=2)
        ),
        "payment.charged": Milestone(
            "payments", Undo(Emit("payment.refund"), "payment.refunded", within_ms=1_000, attempts=2)
        ),
    },
    compensation=Compensation(
        triggers=(WhenEvent("payment.declined"), WhenEvent("parcel.lost")), then=Emit("order.cancelled")
    ),
)

CHARGE_FAST = Between("charge-fast", 5_000, "stock.reserved", ("payment.charged",), warn_ms=4_000)
IN_ALL = Between("in-all", 60_000, "order.placed", (), warn_ms=48_000)


def placed(after_ms: int = 0) -> EventSeen:
    return seen("e1", "order.placed", after_ms)


def reserved(after_ms: int = 10) -> EventSeen:
    return seen("e2", "stock.reserved", after_ms, cause="e1")


def charged(after_ms: int = 20) -> EventSeen:
    return seen("e3", "payment.charged", after_ms, cause="e2")


def declined(after_ms: int = 20) -> EventSeen:
    return seen("e3", "payment.declined", after_ms, cause="e2")


def dispatched(after_ms: int = 30) -> EventSeen:
    return seen("e4", "parcel.dispatched", after_ms, cause="e3")


def lost(after_ms: int = 40) -> EventSeen:
    return seen("e5", "parcel.lost", after_ms, cause="e3")


def seen(event_id: str, event_type: str, after_ms: int, cause: str | None = None) -> EventSeen:
    return structs.replace(
        event(event_id, event_type, after_ms=after_ms, cause=cause),
        data=json.encode({"about": event_type, "order_id": "o-1042"}),
    )


def undone(command: Publish, event_type: str, after_ms: int, event_id: str = "") -> EventSeen:
    """What the service says that has obeyed an undo command."""
    return seen(event_id or f"undone-{command.id}", event_type, after_ms, cause=command.id)


def command_seen(command: Publish) -> EventSeen:
    """The tracker's own event, as the collector reads it."""
    return EventSeen(
        command.id,
        command.type,
        "tracker",
        command.topic,
        0,
        0,
        command.at_ms,
        command.cause,
        command.key,
        1,
        command.data,
    )


class Play:
    """One saga, from fact to fact."""

    def __init__(self, *flows: Flow, subscriptions: Subscriptions | None = None) -> None:
        self.flows = Flows(flows)
        self.subscriptions = subscriptions or services()
        self.saga: Saga | None = None
        self.effects: list[Effect] = []
        self.wall_ms = NOON_MS

    def tell(self, *facts: Fact, now: int | None = None, wall: int | None = None) -> list[Effect]:
        """Facts, the watermark and the tracker's clock, both in milliseconds after `NOON_MS`."""
        if wall is not None:
            self.wall_ms = NOON_MS + wall
        now_ms = None if now is None else NOON_MS + now
        world = World(self.flows, self.subscriptions, self.wall_ms)
        before = self.saga
        self.saga, effects = advance(self.saga, SAGA, facts, now_ms, world)
        if before is not None and self.saga == before:
            assert self.saga is before, "nothing changed, and yet it would be written"
        self.effects += effects
        return effects

    @property
    def course(self) -> Course:
        assert self.saga is not None
        return self.saga.course or Course()

    @property
    def due(self) -> int:
        """When time alone changes the saga, in milliseconds after `NOON_MS`; -1 for never."""
        assert self.saga is not None
        return self.saga.due_ms - NOON_MS if self.saga.due_ms >= 0 else -1

    def undo(self, event_id: str) -> UndoState:
        assert self.course.compensation is not None
        return next(undo for undo in self.course.compensation.undos if undo.event == event_id)


def stages(effects: list[Effect]) -> list[str]:
    return [effect.stage for effect in effects if isinstance(effect, Lifecycle)]


def published(effects: list[Effect]) -> list[Publish]:
    return [effect for effect in effects if isinstance(effect, Publish)]


def types(effects: list[Effect]) -> list[str]:
    return [publish.type for publish in published(effects)]


def alerts(effects: list[Effect]) -> list[Alert]:
    return [effect for effect in effects if isinstance(effect, Alert)]


def replies(effects: list[Effect]) -> list[Reply]:
    return [effect for effect in effects if isinstance(effect, Reply)]
