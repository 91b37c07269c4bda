"""What a compensation would do, for people."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.undos import MARK
from tracker.core.status import Status
from tracker.view.documents.undo import PlanDocument, PlannedUndoDocument


def plan_picture(name: str, plan: PlanDocument) -> RenderableType:
    """What would be undone, in this order, and what would be published behind it."""
    left = "left to undo" if plan.begun else "to be undone"
    order = "one after the other" if plan.order == "reverse" else "at the same time"
    count = len(plan.undos)
    head = (
        f"{name}: {count} {left}" + (f", {order}" if count > 1 else "")
        if count
        else f"{name}: nothing {left}"
    )
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(justify="right", no_wrap=True)
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for number, undo in enumerate(plan.undos, 1):
        _add(grid, f"  {number}.", undo.type, f"{MARK} {undo.command}", undo)
    if plan.then is not None:
        _add(grid, "  then", "", plan.then.command, plan.then)
    return Group(Text(head), grid)


def _add(grid: Table, number: str, of: str, command: str, planned: PlannedUndoDocument) -> None:
    place = f"to {planned.topic}" if planned.topic else ""
    text = Text(planned.payload or "")
    if planned.error:
        text = Text(f"can't be done now: {planned.error}", style=STATUS_STYLES[Status.STUCK])
    grid.add_row(number, of, command, place, text)
