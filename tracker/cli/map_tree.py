"""The map of a flow as a tree: events, below them who handles them, below those what comes of it."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from tracker.cli.undos import MARK
from tracker.core.cloudevent import SOURCE
from tracker.view.documents.flow import Difference, MapDocument, MapEdge, MapEvent, MapHandler, Times
from tracker.view.duration import human

_UNSEEN, _UNDECLARED = "never seen", "undeclared"
_MARK_STYLES = {_UNSEEN: "yellow", _UNDECLARED: "red"}


class Line(NamedTuple):
    """A line of the tree: how often, how long in the middle and for 95 of 100, and what to say of it."""

    name: str
    seen: int
    times: tuple[str, str]
    mark: str
    remarks: str = ""


def map_tree(told: MapDocument) -> Table:
    """The map; an event that is reached on several ways has what follows below the first of them."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    table.add_column("EVENT / HANDLER", no_wrap=True, overflow="ellipsis")
    for heading in ("COUNT", "P50", "P95"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for line in _lines(told):
        remarks = Text(line.mark, style=_MARK_STYLES.get(line.mark, ""))
        if line.remarks:
            remarks.append(f"{', ' if line.mark else ''}{line.remarks}", style="default")
        count = f"{line.seen:,}" if line.seen else "-"
        table.add_row(Text(line.name, no_wrap=True, overflow="ellipsis"), count, *line.times, remarks)
    return table


def differences_text(told: MapDocument) -> Iterator[Text]:
    """What differs, in two paragraphs; nothing if nothing does."""
    if not told.declared:
        yield Text("\nno service has announced anything of it: what is seen can't be held against anything")
        return
    for heading, names in (
        ("seen but undeclared", _names(told.undeclared)),
        ("declared but never seen", _names(told.never_seen)),
    ):
        if names:
            yield Text(f"\n{heading}")
            for name in names:
                yield Text(f"  {name}")


def _names(difference: Difference) -> list[str]:
    return [
        *difference.types,
        *(f"{at.service} handles {at.type}" for at in difference.handlers),
        *(f"{arrow.from_} → {arrow.service} → {arrow.to}" for arrow in difference.edges),
    ]


class _Marks:
    """What differs, to look up."""

    def __init__(self, difference: Difference) -> None:
        self.types = set(difference.types)
        self.handlers = {(at.type, at.service) for at in difference.handlers}
        self.edges = {(arrow.from_, arrow.service, arrow.to) for arrow in difference.edges}


class _Node(NamedTuple):
    """A place in the tree, and the lines in front of it and of what stands below it."""

    lead: str
    rail: str
    edge: MapEdge | None
    event: MapEvent


def _lines(told: MapDocument) -> Iterator[Line]:
    unseen, undeclared = _Marks(told.never_seen), _Marks(told.undeclared)
    events = {event.type: event for event in told.events}
    handlers = {(handler.type, handler.service): handler for handler in told.handlers}
    below = _below(told)
    drawn: set[str] = set()
    for root in told.events:
        if root.type in drawn:
            continue
        # A stack and no recursion: a flow may be as long as it likes.
        todo: list[_Node | Line] = [_Node("", "", None, root)]
        while todo:
            node = todo.pop()
            if isinstance(node, Line):
                yield node
                continue
            name = node.event.type
            again = name in drawn
            yield _event_line(node, again, told.begins, unseen, undeclared)
            if again:
                continue
            drawn.add(name)
            services = sorted(below.get(name, {}), key=lambda service: (service == SOURCE, service))
            lines: list[_Node | Line] = []
            for service in services:
                edges = below[name][service]
                last = service == services[-1]
                lead = node.rail + ("└─ " if last else "├─ ")
                rail = node.rail + ("   " if last else "│  ")
                lines.append(_handler_line(lead, service, handlers.get((name, service)), unseen, undeclared))
                for edge in edges:
                    end = edge is edges[-1]
                    lines.append(
                        _Node(
                            rail + ("└─ " if end else "├─ "),
                            rail + ("   " if end else "│  "),
                            edge,
                            events.get(edge.to) or MapEvent(edge.to, True, False, 0, 0),
                        )
                    )
            todo.extend(reversed(lines))


def _below(told: MapDocument) -> dict[str, dict[str, list[MapEdge]]]:
    """By event type and service what is published then."""
    place = {event.type: index for index, event in enumerate(told.events) if event.declared}
    back = {event.type for event in told.events if event.back}
    found: dict[str, dict[str, list[MapEdge]]] = {}
    for edge in sorted(
        told.edges,
        key=lambda edge: (place.get(edge.to, len(place)), edge.from_, edge.service, edge.to),
    ):
        # What only the tracker could have sent and did not is no news.
        if not edge.by_tracker or edge.count or edge.to in back:
            found.setdefault(edge.from_, {}).setdefault(edge.service, []).append(edge)
    for handler in told.handlers:
        found.setdefault(handler.type, {}).setdefault(handler.service, [])
    return found


def _event_line(node: _Node, again: bool, begins: str, unseen: _Marks, undeclared: _Marks) -> Line:
    event, edge = node.event, node.edge
    arrow = None if edge is None else (edge.from_, edge.service, edge.to)
    mark = ""
    if event.type in undeclared.types or arrow in undeclared.edges:
        mark = _UNDECLARED
    elif event.type in unseen.types or arrow in unseen.edges:
        mark = _UNSEEN
    name = f"{node.lead}{MARK + ' ' if event.back else ''}{event.type}"
    if edge is None:
        return Line(name, event.count, ("", ""), mark, "" if event.type == begins else "no declared cause")
    remarks = "begins a saga of its own" if edge.begun else "see above" if again else ""
    return Line(name, edge.count or edge.begun, _times(edge), mark, remarks)


def _handler_line(
    lead: str, service: str, handler: MapHandler | None, unseen: _Marks, undeclared: _Marks
) -> Line:
    if handler is None or service == SOURCE:
        return Line(f"{lead}{service}", 0, ("", ""), "")
    at = handler.type, handler.service
    mark = _UNDECLARED if at in undeclared.handlers else _UNSEEN if at in unseen.handlers else ""
    counted = (
        (handler.failed_attempts, "retried"),
        (handler.dead_lettered, "dead-lettered"),
        (handler.ignored, "ignored"),
    )
    remarks = ", ".join(f"{count:,} {what}" for count, what in counted if count)
    return Line(f"{lead}{handler_name(handler)}", handler.handled, _times(handler), mark, remarks)


def handler_name(handler: MapHandler) -> str:
    """`payments.charge`: the service, and its functions where they are declared."""
    return handler.service + (f".{', '.join(handler.handlers)}" if handler.declared else "")


def _times(times: Times) -> tuple[str, str]:
    if times.p50_ms is None or times.p95_ms is None:
        return "", ""
    return human(times.p50_ms), human(times.p95_ms)
