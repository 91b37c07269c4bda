"""The map of a flow as a Mermaid flowchart.

Events are boxes, handlers are round; what was declared and never seen is dashed, what nobody declares red.
"""

from collections.abc import Iterator

from tracker.cli.map_tree import handler_name
from tracker.view.documents.flow import MapDocument, MapEdge, MapHandler
from tracker.view.duration import human

_SPECIAL = frozenset('"#;&<>`\\%{}[]|')


def mermaid(told: MapDocument) -> str:
    """The chart, without a line break at its end."""
    return "\n".join(_chart(told))


def _chart(told: MapDocument) -> Iterator[str]:
    back = {event.type for event in told.events if event.back}
    edges = [edge for edge in told.edges if not edge.by_tracker or edge.count or edge.to in back]
    events = {event.type: f"e{number}" for number, event in enumerate(told.events)}
    # An edge may tell of a type that is not told apart as an event, where there are too many.
    for edge in edges:
        for name in (edge.from_, edge.to):
            events.setdefault(name, f"e{len(events)}")
    at_handlers = {(handler.type, handler.service): handler for handler in told.handlers}
    ats = sorted({(edge.from_, edge.service) for edge in edges} | set(at_handlers))
    handlers = {at: f"h{number}" for number, at in enumerate(ats) if at[0] in events}
    yield "flowchart TD"
    counts = {event.type: event.count for event in told.events}
    for name, event in events.items():
        count = counts.get(name, 0)
        yield f"  {event}[{_quoted(name, f'{count:,}' if count else '')}]"
    for at, handler in handlers.items():
        yield f"  {handler}({_handler_text(at[1], at_handlers.get(at))})"
    unseen = {(at.type, at.service) for at in told.never_seen.handlers}
    for at, handler in handlers.items():
        yield f"  {events[at[0]]} {'-.->' if at in unseen else '-->'} {handler}"
    red = {(arrow.from_, arrow.service, arrow.to) for arrow in told.undeclared.edges}
    red_links = []
    for link, edge in enumerate(edges, len(handlers)):
        arrow = "-->" if edge.count or edge.begun else "-.->"
        yield f"  {handlers[edge.from_, edge.service]} {arrow}{_label(edge)} {events[edge.to]}"
        if (edge.from_, edge.service, edge.to) in red:
            red_links.append(str(link))
    dashed = [events[name] for name in told.never_seen.types]
    dashed += [handlers[at.type, at.service] for at in told.never_seen.handlers]
    undeclared = [events[name] for name in told.undeclared.types]
    undeclared += [
        handlers[at.type, at.service] for at in told.undeclared.handlers if (at.type, at.service) in handlers
    ]
    if dashed:
        yield "  classDef unseen stroke-dasharray: 5 5"
        yield f"  class {','.join(dashed)} unseen"
    if undeclared:
        yield "  classDef undeclared stroke:#c00,color:#c00"
        yield f"  class {','.join(undeclared)} undeclared"
    if red_links:
        yield f"  linkStyle {','.join(red_links)} stroke:#c00"


def _handler_text(service: str, handler: MapHandler | None) -> str:
    if handler is None:
        return _quoted(service)
    timed = handler.p50_ms is not None
    told = f"{handler.handled:,} · p50 {human(handler.p50_ms or 0)}" if timed else ""
    return _quoted(handler_name(handler), told)


def _label(edge: MapEdge) -> str:
    if edge.count:
        return f"|{_quoted(f'{edge.count:,} · p50 {human(edge.p50_ms or 0)}')}|"
    return f"|{_quoted(f'{edge.begun:,} · begins a saga')}|" if edge.begun else ""


def _quoted(*lines: str) -> str:
    """In quotes, with every character as an entity that means something to Mermaid or to HTML."""
    return '"' + "<br>".join("".join(map(_escaped, line)) for line in lines if line) + '"'


def _escaped(character: str) -> str:
    return f"#{ord(character)};" if character in _SPECIAL or not character.isprintable() else character
