"""The undoing of a saga for people."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.moment import time_of_day
from tracker.core.status import Status
from tracker.view.documents.moment import read_timestamp
from tracker.view.documents.undo import CompensationDocument, UndoDocument
from tracker.view.duration import human

MARK = "↩"

_STYLES = {
    "running": STATUS_STYLES[Status.COMPENSATING],
    "undeliverable": STATUS_STYLES[Status.COMPENSATING],
    "stuck": STATUS_STYLES[Status.STUCK],
}


def undo_waiting(undo: UndoDocument, now_ms: int) -> str:
    """Who has to do something for an undo, and since when."""
    if undo.status == "stuck":
        return f"an operator ({undo.command or 'undo'} failed)"
    if undo.status == "undeliverable":
        return f"a service for {undo.command}"
    who = ", ".join(undo.waiting_for) or undo.confirmed_by
    return who if undo.sent is None else f"{who}, {human(now_ms - read_timestamp(undo.sent))}"


def undo_block(undoing: CompensationDocument, now_ms: int) -> RenderableType:
    """Why a saga is undone, how far that is, and each undo in its order."""
    undos = undoing.undos
    settled = sum(1 for undo in undos if undo.status in ("confirmed", "skipped", "done"))
    head = Text(f"undo ({undoing.reason}): {settled} of {len(undos)}")
    if undoing.round > 1:
        head.append(f", round {undoing.round}")
    if undoing.done is not None:
        head.append(f", all done {time_of_day(undoing.done)}")
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
    if undoing.then_type is not None:
        published = "published" if undoing.then else "not published yet" if undoing.done is None else ""
        grid.add_row("  then", undoing.then_type, "", published)
    return Group(head, grid)


def _stand(undo: UndoDocument, now_ms: int) -> str:
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
            return f"{undo.confirmed_by or 'confirmed'}{_after(undo)}"
        case "skipped" | "done":
            how = "skipped" if undo.status == "skipped" else "done by hand"
            return f"{how} {time_of_day(undo.settled or '')}{error}"


def _after(undo: UndoDocument) -> str:
    if undo.sent is None or undo.settled is None:
        return ""
    took_ms = read_timestamp(undo.settled) - read_timestamp(undo.sent)
    return f" after {human(took_ms)}" if took_ms >= 0 else ""


def _awaited(undo: UndoDocument, now_ms: int) -> str:
    since = "" if undo.sent is None else f" for {human(now_ms - read_timestamp(undo.sent))}"
    if undo.waiting_for:
        return f"{', '.join(undo.waiting_for)}: no answer{since}"
    return f"no {undo.confirmed_by or 'confirmation'}{since}"
