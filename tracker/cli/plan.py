"""What a compensation would do, for people and for programs."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.undos import MARK
from tracker.core.compensation import PlannedUndo
from tracker.core.status import Status
from tracker.view.plan import Plan


def plan_picture(name: str, plan: Plan, payloads: bool) -> RenderableType:
    """What would be undone, in this order, and what would be published behind it."""
    left = "left to undo" if plan.begun else "to be undone"
    order = "one after the other" if plan.flow.compensation.order == "reverse" else "at the same time"
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
        _add(grid, f"  {number}.", undo.type, f"{MARK} {undo.command}", undo, payloads)
    if plan.then is not None:
        _add(grid, "  then", "", plan.then.command, plan.then, payloads)
    return Group(Text(head), grid)


def plan_json(saga_id: str, plan: Plan, payloads: bool) -> dict[str, object]:
    """The plan for programs."""
    return {
        "saga": saga_id,
        "flow": plan.flow.name,
        "flow_version": plan.flow.version,
        "order": plan.flow.compensation.order,
        "begun": plan.begun,
        "undos": [_json(undo, payloads) for undo in plan.undos],
        "then": None if plan.then is None else _json(plan.then, payloads),
    }


def _add(grid: Table, number: str, of: str, command: str, planned: PlannedUndo, payloads: bool) -> None:
    place = f"to {planned.topic}" if planned.topic else ""
    text = Text(planned.data.decode(errors="replace") if payloads else "")
    if planned.error:
        text = Text(f"can't be done now: {planned.error}", style=STATUS_STYLES[Status.STUCK])
    grid.add_row(number, of, command, place, text)


def _json(planned: PlannedUndo, payloads: bool) -> dict[str, object]:
    told: dict[str, object] = {
        "event": planned.event,
        "type": planned.type,
        "command": planned.command,
        "topic": planned.topic or None,
        "error": planned.error,
    }
    return told | {"payload": planned.data.decode(errors="replace")} if payloads else told
