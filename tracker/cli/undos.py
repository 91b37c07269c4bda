"""The undoing of a saga for people and for programs."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.duration import human
from tracker.cli.moment import time_of_day, timestamp
from tracker.core.course import CompensationState
from tracker.core.status import Status
from tracker.view.undo import UndoView

MARK = "↩"

_STYLES = {
    "running": STATUS_STYLES[Status.COMPENSATING],
    "undeliverable": STATUS_STYLES[Status.COMPENSATING],
    "stuck": STATUS_STYLES[Status.STUCK],
}


def undo_waiting(undo: UndoView, now_ms: int) -> str:
    """Who has to do something for an undo, and since when."""
    if undo.status == "stuck":
        return f"an operator ({undo.command or 'undo'} failed)"
    if undo.status == "undeliverable":
        return f"a service for {undo.command}"
    who = ", ".join(undo.services) or undo.confirmed
    return f"{who}, {human(now_ms - undo.sent_ms)}" if undo.sent_ms >= 0 else who


def undo_block(state: CompensationState, undos: Sequence[UndoView], then: str, now_ms: int) -> RenderableType:
    """Why a saga is undone, how far that is, and each undo in its order."""
    settled = sum(1 for undo in undos if undo.status in ("confirmed", "skipped", "done"))
    head = Text(f"undo ({state.reason}): {settled} of {len(undos)}")
    if state.round > 1:
        head.append(f", round {state.round}")
    if state.done_ms >= 0:
        head.append(f", all done {time_of_day(state.done_ms)}")
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column()
    for undo in undos:
        attempt = f"attempt {undo.attempt} of {undo.attempts}" if undo.attempt else ""
        grid.add_row(
            f"  {undo.type or undo.event}",
            f"{MARK} {undo.command}" if undo.command else "",
            attempt,
            Text(_stand(undo, now_ms), style=_STYLES.get(undo.status, "")),
        )
    if then:
        published = "published" if state.then else "not published yet" if state.done_ms < 0 else ""
        grid.add_row("  then", then, "", published)
    return Group(head, grid)


def undo_json(undo: UndoView) -> dict[str, object]:
    """An undo for programs."""
    return {
        "event": undo.event,
        "type": undo.type,
        "command": undo.command,
        "command_id": undo.command_id or None,
        "confirmed_by": undo.confirmed,
        "status": undo.status,
        "attempt": undo.attempt,
        "attempts": undo.attempts,
        "waiting_for": undo.services,
        "sent": None if undo.sent_ms < 0 else timestamp(undo.sent_ms),
        "settled": None if undo.settled_ms < 0 else timestamp(undo.settled_ms),
        "error": undo.error,
    }


def compensation_json(state: CompensationState, undos: Iterable[UndoView]) -> dict[str, object]:
    """A compensation for programs."""
    return {
        "reason": state.reason,
        "trigger": state.trigger or None,
        "began": timestamp(state.at_ms),
        "by_operator": state.by_operator,
        "round": state.round,
        "done": None if state.done_ms < 0 else timestamp(state.done_ms),
        "then": state.then or None,
        "undos": [undo_json(undo) for undo in undos],
    }


def _stand(undo: UndoView, now_ms: int) -> str:
    error = f" ({undo.error})" if undo.error else ""
    match undo.status:
        case "planned":
            return f"not yet{error}" if not undo.attempt else f"to be attempted again{error}"
        case "running":
            return f"{_awaited(undo, now_ms)}{error}"
        case "undeliverable":
            return f"waits{error}"
        case "stuck":
            return f"stuck{error}"
        case "confirmed":
            timed = 0 <= undo.sent_ms <= undo.settled_ms
            after = f" after {human(undo.settled_ms - undo.sent_ms)}" if timed else ""
            return f"{undo.confirmed or 'confirmed'}{after}"
        case "skipped" | "done":
            how = "skipped" if undo.status == "skipped" else "done by hand"
            return f"{how} {time_of_day(undo.settled_ms)}{error}"


def _awaited(undo: UndoView, now_ms: int) -> str:
    since = f" for {human(now_ms - undo.sent_ms)}" if undo.sent_ms >= 0 else ""
    if undo.services:
        return f"{', '.join(undo.services)}: no answer{since}"
    return f"no {undo.confirmed or 'confirmation'}{since}"
