"""What operators asked for, and what became of it, for people and for programs."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.moment import date_and_time, timestamp
from tracker.core.course import Act
from tracker.core.status import Status


def history_table(acts: Iterable[Act]) -> Table:
    """When, who, what, why; and the answer where it was no."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column()
    for act in acts:
        told = Text(act.reason)
        if not act.accepted:
            told.append(f"; refused: {act.message}", style=STATUS_STYLES[Status.FAILED])
        grid.add_row(f"  {date_and_time(act.at_ms)}", act.by, act.action, told)
    return grid


def act_json(act: Act) -> dict[str, object]:
    """The same for programs."""
    return {
        "command": act.command,
        "action": act.action,
        "by": act.by,
        "reason": act.reason,
        "at": timestamp(act.at_ms),
        "accepted": act.accepted,
        "message": act.message,
    }
