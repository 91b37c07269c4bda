"""The expected map: which events may follow from which, by what services announce and the flow file says.

It begins with the event that begins sagas and goes from there, handler by handler, as far as services
declare. The flow file adds what the tracker publishes, its undo commands among it, and the events that
it names and no service announces: those may come from anywhere.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from urllib.parse import unquote

from msgspec import Struct

from tracker.core.cloudevent import SOURCE
from tracker.core.flow import Answer, Between, Flow, Silence, WhenBreach, WhenDeadLetter, WhenEvent
from tracker.core.subscriptions import DeclaredHandler, Subscriptions


class Edge(Struct, frozen=True, order=True, gc=False):
    """A service publishes `effect` because of `cause`, both of them event types."""

    cause: str
    service: str
    effect: str

    @property
    def id(self) -> str:
        """`cause,service,effect`; what is a comma within one of them is written as in a URL."""
        return ",".join(name.translate(_WITHIN_ID) for name in (self.cause, self.service, self.effect))


_WITHIN_ID = str.maketrans({"%": "%25", ",": "%2C", "\n": "%0A"})


def edge_of(id_: str) -> Edge:
    """The edge with this id.

    Raises
    ------
    ValueError
        It is none.
    """
    names = id_.split(",")
    if len(names) != 3:
        raise ValueError(f"{id_!r} is no edge like order.placed,inventory,stock.reserved")
    return Edge(*map(unquote, names))


class ExpectedMap(Struct, frozen=True, dict=True):
    """What sagas that begin with one event type may consist of.

    Attributes
    ----------
    flow : whose file is part of it; "" without one.
    types : in the order of the way: the nearer to the beginning the earlier, ends last, undoing behind them.
    handlers : who handles each event type, and what comes of it.
    edges : sorted; those of the tracker among them.
    free : types that may come without a cause, or with any.
    back : types on the way back only: undo commands, and all that follows from them alone.
    ends : types with which a saga of the flow is over; `completed` those of them that are meant to be.
    declared : whether a service has announced that it handles or publishes the first event. If none has,
        nothing can be said to be missing here, or to be too much.
    """

    begins: str
    flow: str
    types: tuple[str, ...]
    handlers: Mapping[str, tuple[DeclaredHandler, ...]]
    edges: tuple[Edge, ...]
    free: frozenset[str]
    back: frozenset[str]
    ends: tuple[str, ...]
    completed: tuple[str, ...]
    declared: bool

    @cached_property
    def known(self) -> frozenset[str]:
        """All its types."""
        return frozenset(self.types)

    @cached_property
    def edge_set(self) -> frozenset[Edge]:
        return frozenset(self.edges)

    @cached_property
    def ways(self) -> frozenset[tuple[str, str, str]]:
        """Cause, service and effect of each edge: faster to look up, as happens for each event there is."""
        return frozenset((edge.cause, edge.service, edge.effect) for edge in self.edges)

    @cached_property
    def always(self) -> frozenset[tuple[str, str]]:
        """Types and services that publish something each time."""
        return frozenset(
            (name, handler.service)
            for name, handlers in self.handlers.items()
            for handler in handlers
            if handler.always
        )

    @cached_property
    def leading_to(self) -> Mapping[str, tuple[Edge, ...]]:
        """By type the edges that end there."""
        found: dict[str, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.effect, []).append(edge)
        return {effect: tuple(edges) for effect, edges in found.items()}

    @cached_property
    def leading_from(self) -> Mapping[str, tuple[Edge, ...]]:
        """By type the edges that begin there."""
        found: dict[str, list[Edge]] = {}
        for edge in self.edges:
            found.setdefault(edge.cause, []).append(edge)
        return {cause: tuple(edges) for cause, edges in found.items()}

    @cached_property
    def forward(self) -> tuple[str, ...]:
        """The types on the way of the business, in its order."""
        return tuple(name for name in self.types if name not in self.back)

    def handler(self, event_type: str, service: str) -> DeclaredHandler | None:
        """What a service declares of its handling of a type; None if it declares nothing."""
        handlers = self.handlers.get(event_type, ())
        return next((handler for handler in handlers if handler.service == service), None)


def expected_map(
    begins: str,
    subscriptions: Subscriptions,
    flow: Flow | None = None,
    begun: Collection[tuple[str, str]] = (),
) -> ExpectedMap:
    """The map of sagas that begin with this type; `flow` is the one they follow.

    `begun` are pairs of types of which the second begins a saga of its own: what follows from it is not
    part of this map. That is not declared, but can be seen.
    """
    named = () if flow is None else tuple(dict.fromkeys(_named(flow)))
    back_words = frozenset() if flow is None else flow.undo_words
    others = frozenset(begun)
    way = _reached([begins], subscriptions, others, frozenset())
    forward = [*way, *(name for name in named if name not in way and name not in back_words)]
    # What follows from an event that only the flow file knows is declared by services all the same.
    forward = _reached(forward, subscriptions, others, back_words)
    types = _reached([*forward, *(name for name in named if name in back_words)], subscriptions, others)
    ends = () if flow is None else flow.ends
    edges = {
        Edge(name, handler.service, effect)
        for name in types
        for handler in subscriptions.declared(name)
        for effect in handler.publishes
    }
    if flow is not None:
        edges |= set(_by_tracker(flow, types, subscriptions))
    caused = {edge.effect for edge in edges}
    on_way = [name for name in forward if name not in ends] + [name for name in ends if name in forward]
    return ExpectedMap(
        begins,
        "" if flow is None else flow.name,
        tuple(dict.fromkeys([*on_way, *types])),
        {name: tuple(subscriptions.declared(name)) for name in types if subscriptions.declared(name)},
        tuple(sorted(edges)),
        frozenset(
            name for name in types if name == begins or name in subscriptions.unprompted or name not in caused
        ),
        frozenset(types).difference(forward),
        ends,
        () if flow is None else flow.completed,
        bool(subscriptions.declared(begins)) or begins in subscriptions.published,
    )


def _reached(
    starts: Iterable[str],
    subscriptions: Subscriptions,
    begun: frozenset[tuple[str, str]],
    without: frozenset[str] = frozenset(),
) -> list[str]:
    """These types and all that follow from them, the nearest first."""
    found = list(dict.fromkeys(starts))
    known = set(found)
    for name in found:  # grows while it is walked
        for handler in subscriptions.declared(name):
            for effect in handler.publishes:
                if effect not in known and effect not in without and (name, effect) not in begun:
                    known.add(effect)
                    found.append(effect)
    return found


def _named(flow: Flow) -> Iterator[str]:
    """Every type that the flow file names, in its order."""
    yield flow.begins
    for name, milestone in flow.events.items():
        yield name
        if milestone.undo is not None:
            yield milestone.undo.command.type
            yield milestone.undo.confirmed
    for rule in flow.rules:
        match rule:
            case Between():
                yield rule.start
                yield from rule.ends
            case Answer():
                yield rule.event
            case Silence():
                pass
        if rule.on_breach.emit is not None:
            yield rule.on_breach.emit.type
    yield from flow.watched
    if flow.compensation.then is not None:
        yield flow.compensation.then.type
    yield from flow.ends


def _by_tracker(flow: Flow, types: Iterable[str], subscriptions: Subscriptions) -> Iterator[Edge]:
    """What the tracker may publish, by the event that the flow file says it is derived from."""
    for name, undo in flow.undoes.items():
        yield Edge(name, SOURCE, undo.command.type)
    for rule in flow.rules:
        if rule.on_breach.emit is not None:
            cause = rule.event if isinstance(rule, Answer) else flow.begins
            yield Edge(cause, SOURCE, rule.on_breach.emit.type)
    then = flow.compensation.then
    if then is None:
        return
    yield Edge(flow.begins, SOURCE, then.type)  # an operator may have any saga undone
    for trigger in flow.compensation.triggers:
        match trigger:
            case WhenEvent():
                yield Edge(trigger.type, SOURCE, then.type)
            case WhenDeadLetter():
                for name in types:
                    services = {handler.service for handler in subscriptions.declared(name)}
                    if services and (not trigger.services or services.intersection(trigger.services)):
                        yield Edge(name, SOURCE, then.type)
            case WhenBreach():
                pass  # derived from the first event
