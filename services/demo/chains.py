"""The chain of an order in one line: `placed → reserved → charged (2nd attempt) → dispatched`."""

from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.rows import waiting_text
from tracker.core.chain import Link, begin_ms, chain
from tracker.core.cloudevent import SOURCE
from tracker.core.saga import Saga
from tracker.core.status import Status
from tracker.view.documents.row import saga_summary
from tracker.view.duration import human, ordinal
from tracker.view.known import Known
from tracker.view.row import Row, row_of

_KEY_WIDTH = 9
_EVENTS_WIDTH = len("placed → reserved → charged (2nd attempt) → dispatched")


def chain_line(saga: Saga, known: Known, now_ms: int) -> Text:
    """Business key, events as they came, and how it stands. What undoes follows a ↩ instead of an arrow."""
    row = row_of(saga, known)
    line = Text(f"{row.key or saga.id[:_KEY_WIDTH]:<{_KEY_WIDTH}}")
    # One event may be the cause of two, and then the order of causes is not that of times.
    links = sorted(chain(saga), key=lambda link: begin_ms(link.step))
    commands = {link.event for link in links if link.step.seen and link.step.seen.source == SOURCE}
    events = ""
    for link in links:
        if link.event in commands and any(other.parent == link.event for other in links):
            continue  # what it came to says as much
        arrow = "" if not events else " ↩ " if link.parent in commands else " → "
        events += arrow + _event(saga, link)
    line.append(f"{events:<{_EVENTS_WIDTH}}")
    line.append(f"  {_ending(row, now_ms)}", style=STATUS_STYLES[row.status])
    return line


def _event(saga: Saga, link: Link) -> str:
    seen = link.step.seen
    if seen is None:
        return "(not read yet)"
    name = seen.type.rpartition(".")[2]
    handlings = saga.steps[link.parent].handlings if link.parent else ()
    attempt = max((each.standing.number for each in handlings if each.service == seen.source), default=1)
    return f"{name} ({ordinal(attempt)} attempt)" if attempt > 1 else name


def _ending(row: Row, now_ms: int) -> str:
    after = f"after {human(row.acted_ms - row.began_ms)}"
    match row.status:
        case Status.COMPLETED:
            return after
        case Status.COMPENSATED | Status.CANCELLED:
            return f"{row.status} {after}"
        case Status.FAILED:
            if not row.dead_letters:
                return f"failed {after}"
            (service, error), *_ = row.dead_letters
            return f"dead-lettered by {service} ({error.rpartition('.')[2]}) {after}"
        case Status.OPEN | Status.RETRYING | Status.PAUSED | Status.COMPENSATING | Status.STUCK:
            return f"{row.status}: {waiting_text(saga_summary(row, now_ms))}"
