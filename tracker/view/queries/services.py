"""Services and event types: who is subscribed to what, how well that goes, and who is hit by a change."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from msgspec import Struct
from sqlalchemy import Connection

from saga.core.errors import SagaError
from saga.core.receipt import ServiceAnnouncement
from tracker.core.contract.traffic import At, Traffic
from tracker.core.flow import Flow
from tracker.view.documents.flow import Times, times_of
from tracker.view.known import Known
from tracker.view.model.aggregates import traffic


class UnknownService(SagaError):
    """No service of this name has announced itself."""


class UnknownEvent(SagaError):
    """Nobody has announced this type, and no saga has such an event."""


class HandlerDocument(Struct, frozen=True, gc=False):
    """What a service does with the events of a type, and how that went in the time that is asked about.

    Attributes
    ----------
    handlers : names of its functions; empty where it has not announced that it handles the type.
    attempts : that were made; `failed` of them, so that another was to be made.
    error_rate : share of the attempts that failed or after which the event was given up, from 0 to 1.
    took : how long the attempts took that handled an event.
    answered : from the event until the service had done with it.
    """

    service: str
    type: str
    topic: str | None
    handlers: tuple[str, ...]
    attempts: int
    handled: int
    failed: int
    dead_lettered: int
    ignored: int
    error_rate: float | None
    took: Times
    answered: Times


class Published(Struct, frozen=True, gc=False):
    """A service may publish events of this type; `handler` is null where it does so by itself."""

    service: str
    type: str
    topic: str
    handler: str | None


class ServiceDocument(Struct, frozen=True, gc=False):
    """What a service announces of itself, and how its handlers do.

    `version` is that of the instance that was started last; null where it announces none.
    """

    service: str
    description: str
    guarantee: str
    version: str | None
    handles: list[HandlerDocument]
    publishes: list[Published]


class ServicesDocument(Struct, frozen=True):
    """Every service that has announced itself, by name."""

    services: list[ServiceDocument]


class EventTypeDocument(Struct, frozen=True, gc=False):
    """An event type, and who is hit if it changes: those that handle it, and the flows that name it.

    Attributes
    ----------
    versions : of which a schema has been announced.
    flows : whose newest file names it, and as what.
    sagas, events : with and of such an event, among those that ended in the time that is asked about.
    """

    type: str
    topics: tuple[str, ...]
    versions: tuple[int, ...]
    published_by: list[Published]
    handled_by: list[HandlerDocument]
    flows: dict[str, list[str]]
    sagas: int
    events: int


class EventTypesDocument(Struct, frozen=True):
    """Every event type that a service or a flow file names, by name."""

    events: list[str]


def service_documents(
    connection: Connection, known: Known, from_ms: int, until_ms: int, only: str | None = None
) -> ServicesDocument:
    """All services, or one.

    Raises
    ------
    UnknownService
        The one has never announced itself.
    """
    went = traffic(connection, None, None, from_ms, until_ms)
    announced = {each.service: each for each in known.announcements}
    if only is not None and only not in announced:
        raise UnknownService(f"no service {only!r} has announced itself{_near(only, announced)}")
    names = sorted(announced) if only is None else [only]
    return ServicesDocument([_service(announced[name], went) for name in names])


def event_types(known: Known) -> EventTypesDocument:
    """The names of all event types."""
    return EventTypesDocument(sorted(_types(known)))


def event_type(
    connection: Connection, known: Known, name: str, from_ms: int, until_ms: int
) -> EventTypeDocument:
    """Everything of one event type.

    Raises
    ------
    UnknownEvent
        Nobody has ever heard of it.
    """
    went = traffic(connection, None, None, from_ms, until_ms)
    types = _types(known)
    if name not in types and name not in went.reached:
        raise UnknownEvent(f"nobody has announced events of the type {name!r}{_near(name, types)}")
    announced = known.announcements
    handlers = [_handler(each, name, went) for each in announced if _subscribed(each, name)]
    silent = {at.service for at in went.answers if at.type == name and at.service}
    silent -= {handler.service for handler in handlers}
    handlers += [_handling(service, name, None, (), went) for service in sorted(silent)]
    topics = {each.topic for announcement in announced for each in _named(announcement, name)}
    return EventTypeDocument(
        type=name,
        topics=tuple(sorted(topics)),
        versions=tuple(
            sorted({each.version for told in announced for each in told.events if each.type == name})
        ),
        published_by=[each for told in announced for each in _published(told) if each.type == name],
        handled_by=handlers,
        flows={flow.name: uses for flow in _newest(known) if (uses := list(_uses(flow, name)))},
        sagas=went.reached[name],
        events=went.events.get(name).count,
    )


def _service(announced: ServiceAnnouncement, went: Traffic) -> ServiceDocument:
    types = sorted({each.type for each in announced.subscribes})
    return ServiceDocument(
        announced.service,
        announced.description,
        announced.guarantee,
        announced.version or None,
        [_handler(announced, name, went) for name in types],
        list(_published(announced)),
    )


def _handler(announced: ServiceAnnouncement, event: str, went: Traffic) -> HandlerDocument:
    mine = [each for each in announced.subscribes if each.type == event]
    handlers = tuple(dict.fromkeys(each.handler for each in mine))
    return _handling(announced.service, event, mine[0].topic, handlers, went)


def _handling(
    service: str, event: str, topic: str | None, handlers: tuple[str, ...], went: Traffic
) -> HandlerDocument:
    at = At(event, service)
    handled, failed, given_up = went.handled_us.get(at).count, went.failed[at], went.dead_lettered[at]
    attempts = handled + failed + given_up
    return HandlerDocument(
        service=service,
        type=event,
        topic=topic,
        handlers=handlers,
        attempts=attempts,
        handled=handled,
        failed=failed,
        dead_lettered=given_up,
        ignored=went.ignored[at],
        error_rate=(failed + given_up) / attempts if attempts else None,
        took=times_of(went.handled_us.get(at), 1_000),
        answered=times_of(went.answers.get(at)),
    )


def _published(announced: ServiceAnnouncement) -> Iterator[Published]:
    for each in announced.publishes:
        yield Published(announced.service, each.type, each.topic, each.handler or None)


def _subscribed(announced: ServiceAnnouncement, event: str) -> bool:
    return any(each.type == event for each in announced.subscribes)


def _named(announced: ServiceAnnouncement, event: str) -> Iterator[Published]:
    yield from (each for each in _published(announced) if each.type == event)
    for each in announced.subscribes:
        if each.type == event:
            yield Published(announced.service, each.type, each.topic, each.handler)


def _types(known: Known) -> set[str]:
    announced = known.announcements
    found = {each.type for told in announced for each in told.subscribes}
    found |= {each.type for told in announced for each in told.publishes}
    for flow in _newest(known):
        found |= {flow.begins, *flow.events, *flow.ends, *flow.undo_words}
    return found


def _newest(known: Known) -> list[Flow]:
    names = sorted({flow.name for flow in known.flows})
    return [flow for name in names if (flow := known.flows.newest(name)) is not None]


def _uses(flow: Flow, event: str) -> Iterator[str]:
    if flow.begins == event:
        yield "begins it"
    if event in flow.completed:
        yield "completes it"
    if event in flow.failed:
        yield "fails it"
    if event in flow.events:
        yield "step"
    for name, undo in flow.undoes.items():
        if undo.command.type == event:
            yield f"undoes {name}"
        if undo.confirmed == event:
            yield f"confirms the undo of {name}"
    if event in flow.watched:
        yield "triggers its compensation"
    if flow.compensation.then is not None and flow.compensation.then.type == event:
        yield "ends its compensation"


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(names), 1)
    return f": did you mean {near[0]}?" if near else ""
