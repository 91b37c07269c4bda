"""What operators asked for, and what became of it, for people and for programs."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.moment import date_and_time
from tracker.core.status import Status
from tracker.view.documents.saga import ActDocument


def history_table(acts: Iterable[ActDocument]) -> Table:
    """When, who, what, why; and the answer where it was no."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column()
    for act in acts:
        told = Text(act.reason)
        if not act.accepted:
            told.append(f"; refused: {act.message}", style=STATUS_STYLES[Status.FAILED])
        grid.add_row(f"  {date_and_time(act.at)}", act.by, act.action, told)
    return grid
