"""A flow as its sagas went: map, funnel, variants."""

from collections.abc import Iterable, Mapping
from itertools import islice

from msgspec import Struct

from tracker.core.cloudevent import SOURCE
from tracker.core.contract.expected import Edge, ExpectedMap
from tracker.core.contract.funnel import Stage
from tracker.core.contract.traffic import At, Traffic
from tracker.core.discovery import Variants, variant_id
from tracker.core.quantiles import Quantiles
from tracker.view.contract import FlowContract
from tracker.view.documents.moment import timestamp


class Times(Struct, frozen=True, gc=False):
    """How long something took, in milliseconds; null where it never happened."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class MapEvent(Struct, frozen=True, gc=False):
    """An event type; `back`: it only comes when something is undone. `sagas` of them have it."""

    type: str
    declared: bool
    back: bool
    count: int
    sagas: int


class MapHandler(Times, frozen=True, kw_only=True, gc=False):
    """A service that handles a type, what became of that, and how long its attempts took."""

    type: str
    service: str
    handlers: tuple[str, ...]
    declared: bool
    handled: int
    failed_attempts: int
    dead_lettered: int
    ignored: int


class Arrow(Struct, frozen=True, rename={"from_": "from"}, gc=False):
    """After an event of the type `from` the service publishes one of the type `to`."""

    from_: str
    service: str
    to: str


class MapEdge(Times, frozen=True, kw_only=True, rename={"from_": "from"}, gc=False):
    """The same as it happened: how often, how many sagas it began, and how long it took.

    `id` is what sagas that took it can be searched by. `count` is how often that happened, which may be
    several times in one of them; `in_flight` is how many sagas in flight took it.
    """

    id: str
    from_: str
    service: str
    to: str
    declared: bool
    by_tracker: bool
    count: int
    in_flight: int
    begun: int


class Follows(Struct, frozen=True, rename={"from_": "from"}, gc=False):
    """How often an event of one type was the next after one of another, whatever caused it."""

    from_: str
    to: str
    count: int


class HandlerName(Struct, frozen=True, gc=False):
    """A service, and a type that it handles."""

    type: str
    service: str


class Difference(Struct, frozen=True, gc=False):
    """What is only declared, or was only seen."""

    types: tuple[str, ...]
    handlers: list[HandlerName]
    edges: list[Arrow]


class MapDocument(Struct, frozen=True, gc=False):
    """Every event type, handler and edge: whether it is declared, how often it was seen, how long it took.

    `follows` is the directly-follows graph of process mining. `not_told_apart` counts what was left out,
    because there is too much of its kind.
    """

    flow: str
    version: int | None
    begins: str
    declared: bool
    sagas: int
    in_flight: int
    events: list[MapEvent]
    handlers: list[MapHandler]
    edges: list[MapEdge]
    follows: list[Follows]
    never_seen: Difference
    undeclared: Difference
    not_told_apart: int
    unreadable: int


class StageDocument(Struct, frozen=True, gc=False):
    """An event type on the way of a flow.

    Attributes
    ----------
    passed, share : sagas that have such an event, and which share of all that is, from 0 to 1.
    after_ms : when it comes in the middle, since the beginning of the saga.
    standing, compensating, ended : sagas of which it is the newest event on their way.
    stuck, overdue : of those in flight.
    """

    type: str
    passed: int
    share: float
    after_ms: float
    standing: int
    compensating: int
    ended: int
    declared: bool
    stuck: int
    overdue: int


class FunnelDocument(Struct, frozen=True, gc=False):
    """How many sagas have passed each stage of a flow, and how many stand there now."""

    flow: str
    version: int | None
    sagas: int
    in_flight: int
    stages: list[StageDocument]
    unreadable: int


class VariantDocument(Struct, frozen=True, gc=False):
    """A way that sagas went that have ended: how many, their share, how long they took in the middle.

    `id` is what these can be searched by.
    """

    id: str
    types: tuple[str, ...]
    sagas: int
    share: float
    p50_ms: float


class VariantsDocument(Struct, frozen=True, gc=False):
    """Ways of a flow, of `variants_in_all` the most frequent; `not_told_apart` sagas went still others.

    Those count that ended from `ended_from` on and before `ended_until`, which are the beginnings of days
    (UTC); all of them where these are null.
    """

    flow: str
    ended_from: str | None
    ended_until: str | None
    sagas: int
    variants: list[VariantDocument]
    variants_in_all: int
    not_told_apart: int
    unreadable: int


def map_document(contract: FlowContract) -> MapDocument:
    """The map of a flow."""
    expected, traffic, found = contract.expected, contract.traffic, contract.comparison
    types = [*expected.types, *sorted(set(traffic.events) - expected.known)]
    ats = {At(name, each.service) for name, handlers in expected.handlers.items() for each in handlers}
    ats |= {at for at in traffic.answers if at.service} | set(traffic.failed)
    edges = {*expected.edges, *traffic.edges, *contract.took_in_flight}
    return MapDocument(
        flow=contract.name if contract.flow is None else contract.flow.name,
        version=None if contract.flow is None else contract.flow.version,
        begins=contract.begins,
        declared=expected.declared,
        sagas=traffic.sagas,
        in_flight=contract.in_flight,
        events=[
            MapEvent(
                name,
                name in expected.known,
                name in expected.back,
                traffic.events.get(name).count,
                traffic.reached[name],
            )
            for name in types
        ],
        handlers=[_handler(at, expected, traffic) for at in sorted(ats)],
        edges=[_edge(edge, contract, expected) for edge in sorted(edges)],
        follows=[Follows(one, other, count) for (one, other), count in sorted(traffic.follows.pairs.items())],
        never_seen=_difference(found.unseen_types, found.unseen_handlers, found.unseen_edges),
        undeclared=_difference(found.undeclared_types, found.undeclared_handlers, found.undeclared_edges),
        not_told_apart=traffic.other,
        unreadable=contract.unreadable,
    )


def funnel_document(
    contract: FlowContract, stuck: Mapping[str, int], overdue: Mapping[str, int]
) -> FunnelDocument:
    """The funnel of a flow; how many sagas are stuck and overdue by stage."""
    return FunnelDocument(
        contract.name if contract.flow is None else contract.flow.name,
        None if contract.flow is None else contract.flow.version,
        contract.traffic.sagas,
        contract.in_flight,
        [_stage(stage, stuck, overdue) for stage in contract.stages],
        contract.unreadable,
    )


def variants_document(
    flow: str,
    variants: Variants,
    limit: int | None,
    unreadable: int = 0,
    days_ms: tuple[int, int] | None = None,
) -> VariantsDocument:
    """The variants of a flow, so many at most; `days_ms` is the time in which their sagas ended."""
    told = [VariantDocument(variant_id(each.types), *each) for each in islice(variants.listed(), limit)]
    from_, until = (None, None) if days_ms is None else map(timestamp, days_ms)
    in_all = len(variants.times)
    return VariantsDocument(flow, from_, until, variants.sagas, told, in_all, variants.other, unreadable)


def times_of(times: Quantiles, unit: int = 1) -> Times:
    """The quantiles of what was counted in parts of a millisecond, `unit` of them."""
    return Times(*_quantiles(times, unit).values())


def _stage(stage: Stage, stuck: Mapping[str, int], overdue: Mapping[str, int]) -> StageDocument:
    return StageDocument(*stage, stuck.get(stage.type, 0), overdue.get(stage.type, 0))


def _handler(at: At, expected: ExpectedMap, traffic: Traffic) -> MapHandler:
    handler = expected.handler(at.type, at.service)
    times = traffic.handled_us.get(at)
    return MapHandler(
        type=at.type,
        service=at.service,
        handlers=() if handler is None else tuple(handler.handlers),
        declared=handler is not None,
        handled=times.count,
        failed_attempts=traffic.failed[at],
        dead_lettered=traffic.dead_lettered[at],
        ignored=traffic.ignored[at],
        **_quantiles(times, 1_000),
    )


def _edge(edge: Edge, contract: FlowContract, expected: ExpectedMap) -> MapEdge:
    traffic = contract.traffic
    times = traffic.edges.get(edge)
    return MapEdge(
        id=edge.id,
        from_=edge.cause,
        service=edge.service,
        to=edge.effect,
        declared=edge in expected.edge_set,
        by_tracker=edge.service == SOURCE,
        count=times.count,
        in_flight=contract.took_in_flight[edge],
        begun=traffic.begun[edge.cause, edge.effect],
        **_quantiles(times),
    )


def _difference(types: Iterable[str], handlers: Iterable[At], edges: Iterable[Edge]) -> Difference:
    return Difference(
        tuple(types),
        [HandlerName(at.type, at.service) for at in handlers],
        [Arrow(edge.cause, edge.service, edge.effect) for edge in edges],
    )


def _quantiles(times: Quantiles, unit: int = 1) -> dict[str, float | None]:
    return {
        f"p{share}_ms": times.quantile(share / 100) / unit if times.count else None for share in (50, 95, 99)
    }
