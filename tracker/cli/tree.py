"""One saga as a tree of causes, with what became of each event."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracker.cli.answers import answers
from tracker.cli.console import STATUS_STYLES
from tracker.cli.duration import human
from tracker.cli.history import history_table
from tracker.cli.kin import child_name, child_text, parent_text
from tracker.cli.moment import date_and_time, time_of_day
from tracker.cli.sla import clocks_table, forecast_text
from tracker.cli.undos import MARK, undo_block
from tracker.core.chain import (
    UNKNOWN_FLOW,
    Link,
    acted_ms,
    began_ms,
    begin_ms,
    begin_type,
    business_key,
    chain,
    flow_name,
)
from tracker.core.cloudevent import SOURCE
from tracker.core.prediction import Forecast
from tracker.core.saga import CHILDREN_MAX, COPIES_MAX, STEPS_MAX, Saga, Step
from tracker.core.status import ENDED, status, waiting
from tracker.view.clocks import clock_views
from tracker.view.kin import NO_RELATIVES, ChildView, ParentView, Relatives, child_views, parent_view
from tracker.view.known import Known
from tracker.view.undo import UndoView, undo_views

INDENT_MAX = 8
"""Levels that are drawn; deeper ones say how deep they are."""


def saga_tree(
    saga: Saga,
    known: Known,
    now_ms: int,
    forecast: Forecast | None = None,
    relatives: Relatives = NO_RELATIVES,
) -> RenderableType:
    """A head line, then a line for each event, below its cause; then clocks, undos and what operators did.

    The sagas that an event began stand below it.
    """
    return Group(
        _head(saga, known, now_ms, parent_view(saga, relatives)),
        _events(saga, known, now_ms, child_views(saga, relatives, known)),
        *_course(saga, known, now_ms, forecast),
    )


def _events(saga: Saga, known: Known, now_ms: int, begun: list[ChildView]) -> Table:
    owed = waiting(saga, known.subscriptions)
    attempts = {undo.command_id: f"attempt {undo.attempt} of {undo.attempts}" for undo in _undos(saga, known)}
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    begun_by: dict[str, list[ChildView]] = {}
    for child in begun:
        begun_by.setdefault(child.event, []).append(child)
    rails: list[bool] = []
    links = chain(saga)
    for link, below in zip_longest(links, links[1:]):
        del rails[link.depth :]
        rails.append(not link.last)
        open_answers = [answer for answer in owed if answer.event == link.event]
        grid.add_row(
            time_of_day(begin_ms(link.step)),
            "" if link.step.seen is None else link.step.seen.source,
            _branch(rails) + _name(link),
            _middle(link, attempts),
            Text("\n").join(
                [*answers(link, known.subscriptions, open_answers, now_ms), *_oddities(link)],
            ),
        )
        rail = _rail(rails, goes_on=below is not None and below.parent == link.event)
        for child in begun_by.get(link.event, ()):
            grid.add_row(time_of_day(child.at_ms), "", rail + child_name(child), "", child_text(child))
    for child in begun:
        if child.event not in saga.steps:
            unknown = [f"cause unknown: {child.event}"] if child.event else []
            grid.add_row(time_of_day(child.at_ms), "", child_name(child), "", child_text(child, *unknown))
    return grid


def _head(saga: Saga, known: Known, now_ms: int, parent: ParentView | None) -> Text:
    stands = status(saga, known.subscriptions)
    began = began_ms(saga)
    ended = f" after {human(acted_ms(saga) - began)}" if stands in ENDED else ""
    head = Text("  ").join(
        [
            Text(_flow(saga)),
            Text(saga.id),
            *([Text(business_key(saga))] if business_key(saga) else []),
            Text(stands + ended, style=STATUS_STYLES[stands]),
        ]
    )
    head.append(f"\nbegan {date_and_time(began)}, {human(now_ms - began)} ago")
    if parent is not None:
        head.append(f"\n{parent_text(parent)}")
    if saga.course is not None and saga.course.flow and known.flow_of(saga) is None:
        head.append(
            "\nthis version of its flow is not on saga.flows: deadlines and undos are not told in full"
        )
    if saga.truncated:
        head.append(f"\nat its limit of {STEPS_MAX:,} events: there may be more that are not shown")
    if len(saga.children) >= CHILDREN_MAX:
        head.append(f"\nat its limit of {CHILDREN_MAX:,} child sagas: there may be more that are not shown")
    return head


def _flow(saga: Saga) -> str:
    """`order v1`; `(unknown) order.placed` for a saga of no flow."""
    if saga.course is not None and saga.course.flow:
        return f"{flow_name(saga)} v{saga.course.flow_version}"
    return f"{UNKNOWN_FLOW} {begin_type(saga)}".rstrip()


def _course(saga: Saga, known: Known, now_ms: int, forecast: Forecast | None) -> Iterator[RenderableType]:
    """What the tracker has decided, in paragraphs of their own."""
    course = saga.course
    if course is None:
        return
    flow = known.flow_of(saga)
    views = clock_views(saga, flow, now_ms)
    if views:
        yield Text("\ndeadlines")
        yield clocks_table(views, forecast)
    if forecast is not None:
        if not views:
            yield Text()
        yield Text(_forecast_line(forecast, now_ms))
    if course.compensation is not None:
        then = None if flow is None else flow.compensation.then
        yield Text()
        yield undo_block(course.compensation, _undos(saga, known), "" if then is None else then.type, now_ms)
    if course.history:
        yield Text("\noperators")
        yield history_table(course.history)


def _forecast_line(forecast: Forecast, now_ms: int) -> str:
    told = f"  expected end: {forecast_text(forecast, now_ms)}"
    if forecast.known:
        told += f" (by {forecast.alike} before it that were at {forecast.where} as long)"
    return told


def _undos(saga: Saga, known: Known) -> list[UndoView]:
    return undo_views(saga, known.flow_of(saga), known.subscriptions)


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


def _name(link: Link) -> str:
    seen = link.step.seen
    if seen is None:
        return f"event {link.event}"
    return f"{MARK} {seen.type}" if seen.source == SOURCE else seen.type


def _middle(link: Link, attempts: Mapping[str, str]) -> str:
    """The time since the cause; which attempt it is, of an undo command."""
    if link.event in attempts:
        return attempts[link.event]
    return "" if link.after_ms is None else _delta(link.after_ms)


def _delta(after_ms: int) -> str:
    return f"{'-' if after_ms < 0 else '+'} {human(abs(after_ms))}"


def _oddities(link: Link) -> Iterator[Text]:
    seen = link.step.seen
    if seen is None:
        yield Text("only its receipts have been read")
    elif link.cause_unknown:
        yield Text(f"cause unknown: {seen.cause}")
    if link.step.copies and (link.step.seen is None or link.step.seen.source != SOURCE):
        yield Text(_copies(link.step))


def _copies(step: Step) -> str:
    count = len(step.copies)
    times = "twice" if count == 2 else f"{count} times" + (" or more" if count == COPIES_MAX else "")
    places = ", ".join(f"{copy.topic}/{copy.partition}@{copy.offset}" for copy in step.copies[:3])
    return f"published {times}: {places}" + (", …" if count > 3 else "")
