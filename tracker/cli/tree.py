"""One saga as a tree of causes, with what became of each event."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracker.cli.answers import answers
from tracker.cli.console import STATUS_STYLES
from tracker.cli.findings import ahead_text, findings_table
from tracker.cli.history import history_table
from tracker.cli.kin import child_name, child_text, parent_text
from tracker.cli.moment import date_and_time, time_of_day
from tracker.cli.rows import asked_ms, flow_of
from tracker.cli.sla import clocks_table, forecast_text
from tracker.cli.undos import MARK, undo_block
from tracker.core.saga import CHILDREN_MAX, COPIES_MAX
from tracker.core.status import ENDED
from tracker.view.documents.clocks import ForecastDocument
from tracker.view.documents.moment import read_timestamp
from tracker.view.documents.saga import ChildDocument, EventDocument, SagaDocument
from tracker.view.duration import human

INDENT_MAX = 8
"""Levels that are drawn; deeper ones say how deep they are."""


def saga_tree(saga: SagaDocument) -> RenderableType:
    """A head line, then a line for each event, below its cause; then what is to come and what is wrong.

    Behind that clocks, undos and what operators did. The sagas that an event began stand below it.
    """
    return Group(_head(saga), _events(saga), *_outlook(saga), *_course(saga))


def _events(saga: SagaDocument) -> Table:
    undos = [] if saga.compensation is None else saga.compensation.undos
    attempts = {undo.command_id: f"attempt {undo.attempt} of {undo.attempts}" for undo in undos}
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    begun_by: dict[str | None, list[ChildDocument]] = {}
    for child in saga.children:
        begun_by.setdefault(child.event, []).append(child)
    rails: list[bool] = []
    now_ms = asked_ms(saga)
    more = _more_follow(saga.events)
    for (event, goes_on), below in zip_longest(zip(saga.events, more, strict=True), saga.events[1:]):
        del rails[event.depth :]
        rails.append(goes_on)
        grid.add_row(
            time_of_day(_began(event)),
            event.source or "",
            _branch(rails) + _name(event),
            _middle(event, attempts),
            Text("\n").join([*answers(event, saga.services_known, now_ms), *_oddities(event)]),
        )
        rail = _rail(rails, goes_on=below is not None and below.depth > event.depth)
        for child in begun_by.get(event.id, ()):
            grid.add_row(time_of_day(child.began), "", rail + child_name(child), "", child_text(child))
    known = {event.id for event in saga.events}
    for child in saga.children:
        if child.event not in known:
            unknown = [f"cause unknown: {child.event}"] if child.event else []
            grid.add_row(time_of_day(child.began), "", child_name(child), "", child_text(child, *unknown))
    return grid


def _more_follow(events: list[EventDocument]) -> list[bool]:
    """Of each event whether another one stands below the same cause behind it."""
    found: list[bool] = []
    open_depths: set[int] = set()
    for event in reversed(events):
        found.append(event.depth in open_depths)
        open_depths = {depth for depth in open_depths if depth < event.depth} | {event.depth}
    return found[::-1]


def _began(event: EventDocument) -> str:
    """The event's own time; that of the earliest attempt as long as only receipts are known."""
    if event.time is not None:
        return event.time
    times = [attempt.at for handling in event.handled_by for attempt in handling.attempts]
    return min(times, key=read_timestamp)


def _head(saga: SagaDocument) -> Text:
    now_ms = asked_ms(saga)
    took_ms = read_timestamp(saga.acted) - read_timestamp(saga.began)
    ended = f" after {human(took_ms)}" if saga.status in ENDED else ""
    head = Text("  ").join(
        [
            Text(flow_of(saga)),
            Text(saga.id),
            *([Text(saga.key)] if saga.key else []),
            Text(saga.status + ended, style=STATUS_STYLES[saga.status]),
        ]
    )
    head.append(f"\nbegan {date_and_time(saga.began)}, {human(saga.age_ms)} ago")
    paused = saga.paused
    if paused is not None:
        for_ms = now_ms - read_timestamp(paused.since)
        head.append(
            f"\npaused {date_and_time(paused.since)}, {human(for_ms)} ago, by {paused.by}: {paused.reason}"
        )
        head.append(f"\n{_parked(saga)}")
    if saga.parent is not None:
        head.append(f"\n{parent_text(saga.parent)}")
    if saga.flow_version is not None and not saga.flow_known:
        head.append(
            "\nthis version of its flow is not on saga.flows: deadlines and undos are not told in full"
        )
    if saga.truncated:
        shown = len(saga.events)
        head.append(
            f"\nabout {saga.events_in_all:,} events, too many to keep each: {shown:,} of them are shown"
        )
    if len(saga.children) >= CHILDREN_MAX:
        head.append(f"\nat its limit of {CHILDREN_MAX:,} child sagas: there may be more that are not shown")
    return head


def _parked(saga: SagaDocument) -> str:
    """`parked: stock.reserved by payments`, in the order in which the saga goes on."""
    since = ((read_timestamp(owed.parked), owed) for owed in saga.waiting_for if owed.parked is not None)
    parked = [
        f"{owed.type or owed.event} by {owed.service}"
        for _, owed in sorted(since, key=lambda each: (each[0], each[1].event))
    ]
    return f"parked: {', '.join(parked) or 'nothing yet'}"


def _outlook(saga: SagaDocument) -> Iterator[RenderableType]:
    """What is still to come and what is wrong, in paragraphs of their own."""
    if saga.still_to_come:
        yield Text(f"\nstill to come: {ahead_text(saga.still_to_come)}")
    if saga.findings:
        yield Text("\nfindings")
        yield findings_table(saga.findings)


def _course(saga: SagaDocument) -> Iterator[RenderableType]:
    """What the tracker has decided, in paragraphs of their own."""
    if saga.clocks:
        yield Text("\ndeadlines")
        yield clocks_table(saga.clocks)
    if saga.forecast is not None:
        if not saga.clocks:
            yield Text()
        yield Text(_forecast_line(saga.forecast, asked_ms(saga)))
    if saga.compensation is not None:
        yield Text()
        yield undo_block(saga.compensation, asked_ms(saga))
    if saga.history:
        yield Text("\noperators")
        yield history_table(saga.history)


def _forecast_line(forecast: ForecastDocument, now_ms: int) -> str:
    told = f"  expected end: {forecast_text(forecast, now_ms)}"
    if forecast.end_p50 is not None:
        told += f" (by {forecast.alike} before it that were at {forecast.where} as long)"
    return told


def _branch(rails: list[bool]) -> str:
    """The lines in front of an event: `rails` says for each level whether more follow on it."""
    depth = len(rails) - 1
    if depth == 0:
        return ""
    corner = "├─ " if rails[-1] else "└─ "
    if depth > INDENT_MAX:
        return f"{'   ' * (INDENT_MAX - 1)}({depth}) {corner}"
    return "".join("│  " if more else "   " for more in rails[1:-1]) + corner


def _rail(rails: list[bool], *, goes_on: bool) -> str:
    """The lines in front of what stands below an event and is none; they go on if events follow below it."""
    levels = [*rails[1:], goes_on]
    if len(levels) > INDENT_MAX:
        return "   " * INDENT_MAX
    return "".join("│  " if more else "   " for more in levels)


def _name(event: EventDocument) -> str:
    if event.type is None:
        return f"event {event.id}"
    return f"{MARK} {event.type}" if event.by_tracker else event.type


def _middle(event: EventDocument, attempts: Mapping[str | None, str]) -> str:
    """The time since the cause; which attempt it is, of an undo command."""
    if event.id in attempts:
        return attempts[event.id]
    return "" if event.after_ms is None else _delta(event.after_ms)


def _delta(after_ms: int) -> str:
    return f"{'-' if after_ms < 0 else '+'} {human(abs(after_ms))}"


def _oddities(event: EventDocument) -> Iterator[Text]:
    if event.type is None:
        yield Text("only its receipts have been read")
    elif event.cause_unknown:
        yield Text(f"cause unknown: {event.cause}")
    if event.copies and not event.by_tracker:
        yield Text(_copies(event))


def _copies(event: EventDocument) -> str:
    count = len(event.copies)
    times = "twice" if count == 2 else f"{count} times" + (" or more" if count == COPIES_MAX else "")
    places = ", ".join(f"{topic}/{partition}@{offset}" for topic, partition, offset in event.copies[:3])
    return f"published {times}: {places}" + (", …" if count > 3 else "")
