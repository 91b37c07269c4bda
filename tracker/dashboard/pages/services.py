"""Services and event types: who consumes what, how well that goes, and who is hit if an event changes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

from tracker.access.role import Role
from tracker.core.words import plural
from tracker.dashboard.desk import Desk
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.place import Place, href, path_to
from tracker.dashboard.table import chip, facts, table
from tracker.dashboard.words import state
from tracker.view.duration import human
from tracker.view.queries.dead_letters import WantedLetters, letter_groups
from tracker.view.queries.services import (
    EventTypeDocument,
    HandlerDocument,
    ServiceDocument,
    UnknownEvent,
    UnknownService,
    event_type,
    service_documents,
)

HOUR_MS = 3_600_000
HOURS = 24
ERROR_RATE_BAD = 0.05
"""From then on a rate of errors is drawn in colour."""

_NUMBERS = ("Handled", "Errors", "Given up", "p50", "p95", "p99")
_ENDED = f"that ended in the last {HOURS} hours"
_SPAN = f"of sagas {_ENDED}"


async def services_page(desk: Desk, place: Place, _: Role) -> Page:
    """All services, all event types, or one event type."""
    name = place.asked.get("event")
    if name:
        return await _event_page(desk, name)
    from_ms, until_ms = _span(desk.now_ms)
    found = await desk.ask((None, from_ms), service_documents, desk.known, from_ms, until_ms)
    letters = await desk.ask(WantedLetters(), letter_groups, WantedLetters())
    to_do = Counter[str]()
    for group in letters.groups:
        to_do[group.service] += group.to_do
    events = place.asked.get("show") == "events"
    commands = {undo.command.type: flow.name for flow in desk.known.flows for undo in flow.undoes.values()}
    shown = services_body(found.services, to_do, commands, events=events)
    return Page("Events" if events else "Services", shown)


async def service_page(desk: Desk, place: Place, _: Role) -> Page:
    """One service."""
    name = unquote(place.path.removeprefix("/services/"))
    from_ms, until_ms = _span(desk.now_ms)
    try:
        found = await desk.ask((name, from_ms), service_documents, desk.known, from_ms, until_ms, name)
    except UnknownService as error:
        return Page("No such service", body(head("No such service"), panel("", _unknown(str(error)))))
    return Page(name, service_body(found.services[0]))


async def _event_page(desk: Desk, name: str) -> Page:
    from_ms, until_ms = _span(desk.now_ms)
    try:
        found = await desk.ask((name, from_ms), event_type, desk.known, name, from_ms, until_ms)
    except UnknownEvent as error:
        return Page("No such event", body(head("No such event"), panel("", _unknown(str(error)))))
    return Page(name, event_body(found))


def _span(now_ms: int) -> tuple[int, int]:
    """Whole hours, so that the same is asked for a while."""
    until_ms = now_ms - now_ms % HOUR_MS + HOUR_MS
    return until_ms - HOURS * HOUR_MS, until_ms


def _unknown(why: str) -> Node:
    return empty(why, link("/services", "", "All services"), ".")


def services_body(
    services: Sequence[ServiceDocument], to_do: Counter[str], commands: Mapping[str, str], *, events: bool
) -> Node:
    """A line for each service, or for each event type.

    Parameters
    ----------
    to_do : dead letters that wait, by service.
    commands : the flows that the tracker undoes with events of a type, by that type.
    """
    if not services:
        what = empty(
            "No services yet",
            "A service announces itself when it starts: run one, or try ",
            h("code", {}, "make demo"),
            ".",
        )
        return body(head("Services"), panel("", what))
    chips = div(
        "chips",
        chip("/services", "Services", on=not events),
        chip(href("/services", {"show": "events"}), "Events", on=events),
    )
    shown = _events(services, commands) if events else _services(services, to_do)
    return body(head("Services and events", h("p", {}, f"Figures {_SPAN}")), chips, panel("", shown))


def _services(services: Sequence[ServiceDocument], to_do: Counter[str]) -> Node:
    columns = [
        "Service",
        "Handles",
        "Publishes",
        "Attempts",
        "Errors",
        "Dead letters",
        "Slowest p95",
        "Delivery",
    ]
    return table(columns, [_service(each, to_do[each.service]) for each in services], right=columns[3:7])


def _service(service: ServiceDocument, to_do: int) -> Node:
    address = path_to("services", service.service)
    attempts = sum(each.attempts for each in service.handles)
    failed = sum(each.failed + each.dead_lettered for each in service.handles)
    slowest = max(
        (each.took.p95_ms for each in service.handles if each.took.p95_ms is not None), default=None
    )
    return h(
        "tr",
        {"data-href": address, "key": service.service},
        h("td", {"class": "tight"}, link(address, "", service.service, data_step=True), _version(service)),
        h("td", {}, _names({each.type for each in service.handles})),
        h("td", {}, _names({each.type for each in service.publishes})),
        h("td", {"class": "right"}, f"{attempts:,}"),
        h("td", {"class": "right"}, _rate(failed / attempts if attempts else None)),
        h("td", {"class": "right"}, _given_up(to_do, {"service": service.service})),
        h("td", {"class": "right tight"}, _time(slowest)),
        h("td", {"class": "soft tight"}, service.guarantee),
    )


def _version(service: ServiceDocument) -> Node | None:
    title = "version of the instance that was started last"
    return span("faint", f" {service.version}", title=title) if service.version else None


def _names(types: set[str]) -> Node:
    return div("wrapped", *(_event_link(name) for name in sorted(types)))


def _event_link(name: str) -> Node:
    return link(href("/services", {"event": name}), "name", name)


def _events(services: Sequence[ServiceDocument], commands: Mapping[str, str]) -> Node:
    published = {each.type for service in services for each in service.publishes}
    handled = {each.type for service in services for each in service.handles}
    rows = []
    for name in sorted(published | handled):
        address = href("/services", {"event": name})
        by = [each.service for each in services if any(made.type == name for made in each.publishes)]
        to = [each.service for each in services if any(taken.type == name for taken in each.handles)]
        flow = commands.get(name, "")
        undoing = [div("wrapped", "the tracker, to undo", link(path_to("flows", flow), "name", flow))]
        rows.append(
            h(
                "tr",
                {"data-href": address, "key": name},
                h("td", {"class": "tight"}, link(address, "", name, data_step=True)),
                h("td", {}, undoing if flow and not by else _who(by, "nobody announces that")),
                h("td", {}, _who(to, "nobody")),
                h("td", {"class": "right"}, f"{len(to):,}"),
            )
        )
    return table(
        ["Event", "Published by", "Consumed by", "Hit by a change"], rows, right=("Hit by a change",)
    )


def _who(services: Sequence[str], nobody: str) -> Node:
    if not services:
        return span("faint", nobody)
    return div("wrapped", *(link(path_to("services", each), "name", each) for each in services))


def service_body(service: ServiceDocument) -> Node:
    """What one service handles, how that goes, and what it publishes."""
    handles = service.handles
    publishes = [
        h(
            "tr",
            {"key": f"{each.type} {each.handler}"},
            h("td", {"class": "tight"}, _event_link(each.type)),
            h("td", {"class": "mono soft"}, each.topic),
            h("td", {"class": "soft"}, f"by {each.handler}" if each.handler else "by itself"),
        )
        for each in service.publishes
    ]
    return body(
        head(
            service.service,
            h("p", {}, service.description),
            span("soft", service.guarantee, _version(service)),
        ),
        panel(
            "Handles",
            _handlers(handles, service=False)
            if handles
            else h("p", {"class": "soft"}, "Nothing: it only publishes."),
            beside=span("soft", f"figures {_SPAN}"),
        ),
        panel(
            "Publishes",
            table(["Event", "Topic", "Where"], publishes)
            if publishes
            else h("p", {"class": "soft"}, "Nothing: it only handles."),
        ),
        panel(
            "See also",
            div(
                "actions",
                link(href("/sagas", {"waiting-for": service.service}), "button", "Sagas that wait for it"),
                link(href("/dead-letters", {"service": service.service}), "button", "Its dead letters"),
            ),
        ),
    )


def _handlers(handlers: Sequence[HandlerDocument], *, service: bool) -> Node:
    columns = ["Service" if service else "Event", "Handlers", *_NUMBERS, "Answered p95"]
    rows = []
    for each in handlers:
        what = (
            link(path_to("services", each.service), "", each.service) if service else _event_link(each.type)
        )
        rows.append(
            h(
                "tr",
                {"key": f"{each.service} {each.type}"},
                h("td", {"class": "tight"}, what),
                h("td", {"class": "soft"}, ", ".join(each.handlers) or state("late", "not announced")),
                h("td", {"class": "right"}, f"{each.handled:,}"),
                h("td", {"class": "right"}, _rate(each.error_rate)),
                h(
                    "td",
                    {"class": "right"},
                    _given_up(each.dead_lettered, {"service": each.service, "type": each.type}),
                ),
                *(
                    h("td", {"class": "right tight"}, _time(took))
                    for took in (each.took.p50_ms, each.took.p95_ms, each.took.p99_ms, each.answered.p95_ms)
                ),
            )
        )
    return table(columns, rows, right=(*_NUMBERS, "Answered p95"))


def _time(ms: float | None) -> Child:
    return span("faint", "none") if ms is None else human(ms)


def _rate(rate: float | None) -> Node:
    if rate is None:
        return span("faint", "none")
    text = f"{rate:.1%}"
    return state("late", text) if rate >= ERROR_RATE_BAD else span("", text)


def _given_up(count: int, asked: dict[str, str]) -> Child:
    return link(href("/dead-letters", asked), "state late", f"{count:,}") if count else span("faint", "0")


def event_body(event: EventTypeDocument) -> Node:
    """Who publishes an event, who consumes it, and who is hit if it changes."""
    return body(
        head(event.type, span("soft", "event")),
        panel("Who is hit if it changes", *_hit(event)),
        panel(
            "Consumed by",
            _handlers(event.handled_by, service=True)
            if event.handled_by
            else h("p", {"class": "soft"}, "Nobody has announced that it handles this event."),
            beside=span("soft", f"figures {_SPAN}"),
        ),
        panel(
            "Published by",
            div("wrapped", *(_publisher(each.service, each.handler) for each in event.published_by))
            if event.published_by
            else h("p", {"class": "soft"}, "Nobody has announced that it publishes this event."),
        ),
    )


def _publisher(service: str, handler: str | None) -> Node:
    return link(path_to("services", service), "chip", service, span("faint", handler) if handler else "")


def _hit(event: EventTypeDocument) -> Iterator[Node]:
    services = list(dict.fromkeys(each.service for each in event.handled_by))
    if services or event.flows:
        said = f"{plural(len(services), 'service')} and {plural(len(event.flows), 'flow')}."
    else:
        said = "Nobody: no service handles it and no flow file names it."
    yield h("p", {}, h("b", {}, said))
    yield facts(
        [
            ("Services", [_who(services, "")] if services else []),
            ("Flows", [h("ul", {}, [_flow(*each) for each in event.flows.items()])] if event.flows else []),
            ("Topics", [span("mono", ", ".join(event.topics))] if event.topics else []),
            ("Versions", [", ".join(f"v{each}" for each in event.versions)] if event.versions else []),
            (
                "Seen",
                [
                    f"{event.events:,} in {plural(event.sagas, 'saga')} {_ENDED}, ",
                    link(href("/sagas", {"event": event.type}), "", "all sagas with it"),
                ],
            ),
        ]
    )


def _flow(name: str, uses: Sequence[str]) -> Node:
    return h("li", {}, link(path_to("flows", name), "", name), span("soft", f": {', '.join(uses)}"))
