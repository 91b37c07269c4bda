"""How flows stand: where their sagas are, how many ended how, how fast, and which way they went."""

from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from operator import add

from msgspec import Struct
from sqlalchemy import Connection, select

from tracker.core.contract.expected import edge_of
from tracker.core.quantiles import Quantiles
from tracker.core.status import ENDED, Status
from tracker.view.contract import FlowContract, UnknownFlow
from tracker.view.documents.flow import (
    FunnelDocument,
    MapDocument,
    Times,
    VariantsDocument,
    funnel_document,
    map_document,
    times_of,
    variants_document,
)
from tracker.view.documents.moment import timestamp
from tracker.view.flows import SLICES_SHOWN
from tracker.view.known import Known
from tracker.view.model.aggregates import DAY_MS, Hour, Standing, hours, standing, traffic
from tracker.view.model.shape import SEPARATOR
from tracker.view.model.tables import shapes
from tracker.view.queries.attention import stuck_sagas
from tracker.view.queries.recent import recent_ends
from tracker.view.queries.standstill import raised_alarms

_EDGES_MS = [part * 10.0**power for power in range(10) for part in (1, 1.5, 2, 3, 5, 7)]
"""Where one step of `spread` ends and the next begins: up to some months."""

_NONE_RECENT = (0,) * SLICES_SHOWN


class StageStanding(Struct, frozen=True, gc=False):
    """Sagas in flight whose newest event is of this type: how they stand with their deadlines, and otherwise.

    `stuck`: those of which an undo has failed for good.
    """

    type: str
    sagas: int
    on_time: int
    due_soon: int
    overdue: int
    retrying: int
    compensating: int
    stuck: int
    paused: int


class EndedCounts(Struct, frozen=True, gc=False):
    """How sagas ended within a time, and of how many a deadline was breached."""

    completed: int
    failed: int
    compensated: int
    cancelled: int
    breached: int


class StandstillDocument(Struct, frozen=True, gc=False):
    """Where sagas stand still, as an alert has told at `told_at`.

    `service` does not answer events of this type; null where nothing follows them.
    """

    type: str
    service: str | None
    told_at: str


class FlowStanding(Struct, frozen=True, gc=False):
    """How one flow stands now.

    Attributes
    ----------
    flow : its name; the type of the first event, for sagas that follow no flow file.
    version : the newest; null without a flow file.
    on_time, due_soon, overdue : of those in flight, by the most urgent of their clocks, if one runs.
    today : those that ended since midnight, UTC.
    took : how long these took.
    recent : how many ended in each of the last ten slices of ten seconds, the oldest first.
    standstills : where sagas stand still, the first that was told first.
    """

    flow: str
    version: int | None
    begins: str
    in_flight: int
    on_time: int
    due_soon: int
    overdue: int
    retrying: int
    compensating: int
    stuck: int
    paused: int
    stages: list[StageStanding]
    today: EndedCounts
    took: Times
    recent: tuple[int, ...]
    standstills: list[StandstillDocument]


class FlowsDocument(Struct, frozen=True):
    """Every flow that is declared or has sagas, by name."""

    flows: list[FlowStanding]
    asked_at: str


class HourDocument(EndedCounts, frozen=True, kw_only=True, gc=False):
    """The sagas that ended within an hour, and how long they took."""

    hour: str
    took: Times


class SpreadDocument(Struct, frozen=True, gc=False):
    """How many sagas took so long: `from_ms` or more, and less than `until_ms`; null where that is open."""

    from_ms: float
    until_ms: float | None
    sagas: int


class HistoryDocument(Struct, frozen=True):
    """The hours in which sagas of a flow ended, and all of these together; hours without any are left out.

    `spread` is how long they took, from the shortest to the longest, in steps that grow.
    """

    flow: str
    begins: str
    hours: list[HourDocument]
    whole: EndedCounts
    took: Times
    spread: list[SpreadDocument]


def flow_standings(connection: Connection, known: Known, now_ms: int) -> FlowsDocument:
    """How all flows stand."""
    at: dict[str, list[Standing]] = {}
    ended: dict[str, list[Hour]] = {}
    begins = {flow.name: flow.begins for flow in known.flows}
    for stand in standing(connection, now_ms):
        begins.setdefault(_name(stand), stand.begins)
        at.setdefault(_name(stand), []).append(stand)
    recent: dict[str, list[int]] = {}
    for (flow, version, first), counts in recent_ends(connection, now_ms).items():
        name = flow if version else first
        recent[name] = list(map(add, recent.get(name, _NONE_RECENT), counts))
    midnight_ms = now_ms - now_ms % DAY_MS
    for hour in hours(connection, None, None, midnight_ms, midnight_ms + DAY_MS):
        begins.setdefault(_name(hour), hour.begins)
        ended.setdefault(_name(hour), []).append(hour)
    still = _standstills(connection)
    told = [
        _standing(
            name,
            begins[name],
            known,
            at.get(name, []),
            ended.get(name, []),
            tuple(recent.get(name, _NONE_RECENT)),
            still.get(name, []),
        )
        for name in sorted(begins)
    ]
    return FlowsDocument(told, timestamp(now_ms))


def flow_history(
    connection: Connection, known: Known, name: str, version: int | None, from_ms: int, until_ms: int
) -> HistoryDocument:
    """Sagas of a flow by the hour in which they ended.

    Raises
    ------
    UnknownFlow
        Nobody has ever heard of it.
    """
    begins = begins_of(connection, known, name)
    by_hour: dict[int, list[Hour]] = {}
    for hour in hours(connection, name, version, from_ms, until_ms):
        by_hour.setdefault(hour.hour_ms, []).append(hour)
    every = [hour for some in by_hour.values() for hour in some]
    durations = _durations(every)
    return HistoryDocument(
        name,
        begins,
        [_hour(hour_ms, some) for hour_ms, some in sorted(by_hour.items())],
        _ended(every),
        times_of(durations),
        _spread(durations),
    )


def flow_map(
    connection: Connection, known: Known, name: str, version: int | None, from_ms: int, until_ms: int
) -> MapDocument:
    """What a flow declares beside what its sagas did that ended in this time, or are in flight.

    Those in flight count with the types of their events; how often and how fast one event followed from
    another is told of the ended ones.

    Raises
    ------
    UnknownFlow
        Nobody has ever heard of it.
    """
    return map_document(contract_of(connection, known, name, version, from_ms, until_ms))


def flow_funnel(
    connection: Connection,
    known: Known,
    name: str,
    version: int | None,
    from_ms: int,
    until_ms: int,
    now_ms: int,
) -> FunnelDocument:
    """How far the sagas of a flow came that ended in this time, and those in flight; as `flow_map`."""
    contract = contract_of(connection, known, name, version, from_ms, until_ms)
    overdue: Counter[str] = Counter()
    for stand in standing(connection, now_ms):
        if name in (stand.flow, stand.begins) and version in (None, stand.flow_version):
            overdue[stand.place] += stand.overdue
    waits = Counter(row.where for row, _ in stuck_sagas(connection, known, name, now_ms))
    return funnel_document(contract, waits, overdue)


def flow_variants(
    connection: Connection,
    known: Known,
    name: str,
    version: int | None,
    from_ms: int,
    until_ms: int,
    limit: int,
) -> VariantsDocument:
    """The ways that sagas of a flow went that ended in this time, the most frequent first.

    They are counted by days: those count of which some part lies in it.

    Raises
    ------
    UnknownFlow
        Nobody has ever heard of it.
    """
    begins_of(connection, known, name)
    found = traffic(connection, name, version, from_ms, until_ms)
    days_ms = from_ms - from_ms % DAY_MS, until_ms + -until_ms % DAY_MS
    return variants_document(name, found.variants, limit, days_ms=days_ms)


def contract_of(
    connection: Connection, known: Known, name: str, version: int | None, from_ms: int, until_ms: int
) -> FlowContract:
    """What was declared of a flow, and how its sagas went that ended in this time or are in flight.

    Raises
    ------
    UnknownFlow
        Nobody has ever heard of it.
    """
    newest = known.flows.newest(name) or known.flows.beginning(name)
    flow = newest if version is None or newest is None else known.flows.get(newest.name, version)
    found = FlowContract(name, begins_of(connection, known, name), flow, known)
    found.traffic = traffic(connection, name, version, from_ms, until_ms)
    _add_those_in_flight(connection, found, version)
    return found


def begins_of(connection: Connection, known: Known, name: str) -> str:
    """The type of the first event of a flow.

    Raises
    ------
    UnknownFlow
        Nobody has ever heard of it. The message tells the nearest name.
    """
    flow = known.flows.newest(name) or known.flows.beginning(name)
    if flow is not None:
        return flow.begins
    query = select(shapes.c.flow, shapes.c.begins).distinct()
    seen = [(flow, begins) for flow, begins in connection.execute(query)]
    begins = {begins for flow, begins in seen if name in (flow, begins)}
    if begins:
        return str(min(begins))
    if name in known.subscriptions.unprompted:
        return name
    names = {each for pair in seen for each in pair} | {flow.name for flow in known.flows}
    near = get_close_matches(name, sorted(names | set(known.subscriptions.unprompted)), 1)
    raise UnknownFlow(
        f"no flow {name!r}, and no event of this type begins a saga"
        + (f": did you mean {near[0]}?" if near else "")
    )


def _add_those_in_flight(connection: Connection, into: FlowContract, version: int | None) -> None:
    ended = sorted(status.value for status in ENDED)
    traffic = into.traffic
    for row in connection.execute(select(shapes).where(shapes.c.status.not_in(ended))):
        if into.name not in (row.flow, row.begins) or version not in (None, row.flow_version):
            continue
        into.in_flight += row.sagas
        traffic.sagas += row.sagas
        traffic.standing.add((row.place, Status(row.status)), row.sagas)
        for event_type in filter(None, row.types.split(SEPARATOR)):
            traffic.reached.add(event_type, row.sagas)
        for edge_id in filter(None, row.edges.split(SEPARATOR)):
            into.took_in_flight[edge_of(edge_id)] += row.sagas


def _name(of: Standing | Hour) -> str:
    return of.flow if of.flow_version else of.begins


def _standing(
    name: str,
    begins: str,
    known: Known,
    at: list[Standing],
    ended: list[Hour],
    recent: tuple[int, ...],
    still: list[StandstillDocument],
) -> FlowStanding:
    flow = known.flows.newest(name)
    by_type: dict[str, list[Standing]] = {}
    for stand in at:
        by_type.setdefault(stand.place, []).append(stand)
    along = () if flow is None else (flow.begins, *flow.events, *flow.ends)
    order = {event_type: index for index, event_type in enumerate(along)}
    stages = [
        _stage(event_type, by_type[event_type])
        for event_type in sorted(by_type, key=lambda each: (order.get(each, len(order)), each))
    ]
    whole = _stage("", at)
    return FlowStanding(
        flow=name,
        version=None if flow is None else flow.version,
        begins=begins,
        in_flight=whole.sagas,
        on_time=whole.on_time,
        due_soon=whole.due_soon,
        overdue=whole.overdue,
        retrying=whole.retrying,
        compensating=whole.compensating,
        stuck=whole.stuck,
        paused=whole.paused,
        stages=stages,
        today=_ended(ended),
        took=times_of(_durations(ended)),
        recent=recent,
        standstills=still,
    )


def _standstills(connection: Connection) -> dict[str, list[StandstillDocument]]:
    """By flow."""
    found: dict[str, list[StandstillDocument]] = {}
    for place, raised in sorted(raised_alarms(connection).items(), key=lambda each: each[1].at_ms):
        told = StandstillDocument(place.type, place.service or None, timestamp(raised.at_ms))
        found.setdefault(place.flow, []).append(told)
    return found


def _stage(event_type: str, at: list[Standing]) -> StageStanding:
    def of(status: Status) -> int:
        return sum(stand.sagas for stand in at if stand.status is status)

    return StageStanding(
        event_type,
        sum(stand.sagas for stand in at),
        sum(stand.on_time for stand in at),
        sum(stand.due_soon for stand in at),
        sum(stand.overdue for stand in at),
        of(Status.RETRYING),
        of(Status.COMPENSATING),
        of(Status.STUCK),
        of(Status.PAUSED),
    )


def _ended(some: Iterable[Hour]) -> EndedCounts:
    return EndedCounts(**_sums(list(some)))


def _hour(hour_ms: int, some: list[Hour]) -> HourDocument:
    return HourDocument(**_sums(some), hour=timestamp(hour_ms), took=times_of(_durations(some)))


def _sums(some: list[Hour]) -> dict[str, int]:
    return {name: sum(getattr(hour, name) for hour in some) for name in EndedCounts.__struct_fields__}


def _spread(durations: Quantiles) -> list[SpreadDocument]:
    counts = durations.spread(_EDGES_MS)
    there = [index for index, count in enumerate(counts) if count]
    if not there:
        return []
    edges = [0.0, *_EDGES_MS, None]
    return [
        SpreadDocument(edges[index] or 0.0, edges[index + 1], counts[index])
        for index in range(there[0], there[-1] + 1)
    ]


def _durations(some: Iterable[Hour]) -> Quantiles:
    found = Quantiles()
    for hour in some:
        found.merge(hour.durations)
    return found
