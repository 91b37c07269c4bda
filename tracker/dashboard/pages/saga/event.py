"""One event of a saga: where it stands in Kafka, who handled it and how, and what it says."""

from saga.core.errors import SagaError
from saga.runtime.kafka import KafkaError
from tracker.access.role import Role
from tracker.api.payload import masked
from tracker.dashboard.ask import ask
from tracker.dashboard.desk import Desk
from tracker.dashboard.moment import at, ms_of
from tracker.dashboard.node import Child, Node, div, h, link, span
from tracker.dashboard.pages.saga.head import copy_button
from tracker.dashboard.pages.saga.timeline import event_name
from tracker.dashboard.place import Place, href
from tracker.dashboard.table import facts
from tracker.dashboard.trace import trace_link
from tracker.dashboard.words import state
from tracker.view.documents.payload import PayloadDocument, payload_text
from tracker.view.documents.saga import EventDocument, HandlingDocument, SagaDocument
from tracker.view.duration import human

PAYLOAD_KEPT_MS = 60_000
"""What Kafka has at a place never changes, but schemas do, and it may be gone."""

TEXT_MAX = 50_000
"""Characters of a payload that are shown."""


async def event_drawer(desk: Desk, place: Place, saga: SagaDocument, role: Role) -> Node | None:
    """What is known of the event that the address names; None if it names none."""
    wanted = place.asked.get("event")
    if not wanted:
        return None
    event = next((each for each in saga.events if each.id == wanted), None)
    if event is None:
        why = h("p", {"class": "quiet-text"}, f"The saga has none of the id {wanted}, or not any more.")
        return _beside("No such event", "", place, why)
    payload: PayloadDocument | str
    try:
        payload = await _payload(desk, saga.id, event)
    except KafkaError:
        payload = "Kafka does not answer. It is tried again in a while."
    except SagaError as error:
        payload = str(error)
    return drawer(saga.id, event, payload, place, desk.trace_url, may_unmask=role >= Role.OPERATOR)


async def _payload(desk: Desk, saga: str, event: EventDocument) -> PayloadDocument | str:
    if event.type is None:
        return "Only what services did with it is known: the event itself was never read."
    name = f"payload {saga} {event.id}"
    found = await desk.look(name, PAYLOAD_KEPT_MS, lambda: masked(desk.context, saga, event.id))
    return "It is being read from Kafka." if found is None else found


def drawer(
    saga: str,
    event: EventDocument,
    payload: PayloadDocument | str,
    place: Place,
    trace_url: str,
    *,
    may_unmask: bool,
) -> Node:
    """All that is known of an event; `payload` may be why there is none."""
    trace = "" if isinstance(payload, str) else payload.trace or ""
    when = ms_of(event.time)
    known: list[tuple[str, list[Child]]] = [
        ("Published", [at(when), f" by {event.source}"] if when is not None else []),
        ("Event id", [span("mono", event.id), copy_button(event.id)]),
        ("Cause", _cause(event, place)),
        ("Stands at", [div("mono", each) for each in _places(event)]),
        ("Key", [span("mono", event.key)] if event.key else []),
        ("Trace", trace_link(trace_url, saga, trace)),
    ]
    return _beside(
        event_name(event),
        "" if event.version is None else f"v{event.version}",
        place,
        facts(known),
        [_handling(each) for each in event.handled_by],
        _said(saga, event, payload, may_unmask=may_unmask),
    )


def _beside(title: str, version: str, place: Place, *children: Child) -> Node:
    closed = {name: value for name, value in place.asked.items() if name != "event"}
    return h(
        "aside",
        {"class": "drawer", "aria-label": f"Event {title}", "key": "drawer"},
        div(
            "panel-head",
            h("h2", {}, title),
            span("soft", version),
            div("fill"),
            link(href(place.path, closed), "button", "Close", data_stay=True, data_escape=True),
        ),
        *children,
    )


def _places(event: EventDocument) -> list[str]:
    """All that have it, one below the other: an event that was published twice stands at two."""
    first = [f"{event.topic}/{event.partition}/{event.offset}"] if event.topic else []
    return first + [f"{topic}/{partition}/{offset}" for topic, partition, offset in event.copies]


def _cause(event: EventDocument, place: Place) -> list[Child]:
    if event.cause is None:
        return ["none: the saga begins with it"]
    if event.cause_unknown:
        return [state("soon", f"{event.cause}, which is not known")]
    address = href(place.path, {**place.asked, "event": event.cause})
    return [link(address, "mono", event.cause, data_stay=True)]


def _handling(handling: HandlingDocument) -> Node:
    lines = [
        h(
            "li",
            {},
            *([at(began), " "] if (began := ms_of(attempt.at)) is not None else []),
            f"{attempt.outcome} after {human(attempt.duration_ms)}",
            span("wrong", ": ".join(part for part in (attempt.error, attempt.message) if part)),
        )
        for attempt in handling.attempts
    ]
    return div("", h("h3", {}, f"{handling.service} ", span("faint", handling.handler)), h("ol", {}, *lines))


def _said(saga: str, event: EventDocument, payload: PayloadDocument | str, *, may_unmask: bool) -> list[Node]:
    title = h("h3", {}, "Payload")
    if isinstance(payload, str):
        return [title, h("p", {"class": "quiet-text"}, payload)]
    if payload.form == "none":
        return [title, h("p", {"class": "quiet-text"}, "The record has none.")]
    text = payload_text(payload)
    told: list[Node] = [title, h("pre", {"class": "mono payload"}, text[:TEXT_MAX])]
    if len(text) > TEXT_MAX:
        shown = f"These are {TEXT_MAX:,} of its {len(text):,} characters."
        told.append(h("p", {"class": "quiet-text"}, shown))
    if payload.masked:
        why = "Sensitive values are masked."
        if not payload.schema_known:
            why = "All of it is masked: no service tells what such an event consists of."
        told.append(h("p", {"class": "quiet-text"}, why))
    if payload.masked and may_unmask:
        what = "What is masked is shown to you alone. That you looked, and why, stays in the audit log."
        given = {"saga": saga, "event": event.id}
        told.append(div("actions", ask("payload unmask", "unmask", "Unmask", "See all of it", what, given)))
    return told
