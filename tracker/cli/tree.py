"""One saga as a tree of causes, with what became of each event."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracker.cli.answers import answers
from tracker.cli.console import STATUS_STYLES
from tracker.cli.duration import human
from tracker.cli.moment import date_and_time, time_of_day
from tracker.core.chain import Link, acted_ms, began_ms, begin_ms, business_key, chain, flow_name
from tracker.core.saga import COPIES_MAX, STEPS_MAX, Saga, Step
from tracker.core.status import ENDED, status, waiting
from tracker.core.subscriptions import Subscriptions

INDENT_MAX = 8
"""Levels that are drawn; deeper ones say how deep they are."""


def saga_tree(saga: Saga, subscriptions: Subscriptions, now_ms: int) -> RenderableType:
    """A head line, then a line for each event, below its cause."""
    owed = waiting(saga, subscriptions)
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    rails: list[bool] = []
    for link in chain(saga):
        del rails[link.depth :]
        rails.append(not link.last)
        grid.add_row(
            time_of_day(begin_ms(link.step)),
            "" if link.step.seen is None else link.step.seen.source,
            _branch(rails) + _name(link),
            "" if link.after_ms is None else _delta(link.after_ms),
            Text("\n").join(
                [
                    *answers(link, subscriptions, [a for a in owed if a.event == link.event], now_ms),
                    *_oddities(link),
                ]
            ),
        )
    return Group(_head(saga, subscriptions, now_ms), grid)


def _head(saga: Saga, subscriptions: Subscriptions, now_ms: int) -> Text:
    stands = status(saga, subscriptions)
    began = began_ms(saga)
    ended = f" after {human(acted_ms(saga) - began)}" if stands in ENDED else ""
    head = Text("  ").join(
        [
            Text(flow_name(saga)),
            Text(saga.id),
            *([Text(business_key(saga))] if business_key(saga) else []),
            Text(stands + ended, style=STATUS_STYLES[stands]),
        ]
    )
    head.append(f"\nbegan {date_and_time(began)}, {human(now_ms - began)} ago")
    if saga.truncated:
        head.append(f"\nat its limit of {STEPS_MAX:,} events: there may be more that are not shown")
    return head


def _branch(rails: list[bool]) -> str:
    """The lines in front of an event: `rails` says for each level whether more follow on it."""
    depth = len(rails) - 1
    if depth == 0:
        return ""
    corner = "├─ " if rails[-1] else "└─ "
    if depth > INDENT_MAX:
        return f"{'   ' * (INDENT_MAX - 1)}({depth}) {corner}"
    return "".join("│  " if more else "   " for more in rails[1:-1]) + corner


def _name(link: Link) -> str:
    return f"event {link.event}" if link.step.seen is None else link.step.seen.type


def _delta(after_ms: int) -> str:
    return f"{'-' if after_ms < 0 else '+'} {human(abs(after_ms))}"


def _oddities(link: Link) -> Iterator[Text]:
    seen = link.step.seen
    if seen is None:
        yield Text("only its receipts have been read")
    elif link.cause_unknown:
        yield Text(f"cause unknown: {seen.cause}")
    if link.step.copies:
        yield Text(_copies(link.step))


def _copies(step: Step) -> str:
    count = len(step.copies)
    times = "twice" if count == 2 else f"{count} times" + (" or more" if count == COPIES_MAX else "")
    places = ", ".join(f"{copy.topic}/{copy.partition}@{copy.offset}" for copy in step.copies[:3])
    return f"published {times}: {places}" + (", …" if count > 3 else "")
