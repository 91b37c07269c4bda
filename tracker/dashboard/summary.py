"""What is told of a saga in a few words, in lists and on its own page."""

from tracker.core.status import ENDED, Status
from tracker.dashboard.moment import left, ms_of, took
from tracker.dashboard.node import Node, span
from tracker.dashboard.words import STAND_CLASSES, class_name, state
from tracker.view.documents.row import SagaHead, SagaSummary, WaitingDocument
from tracker.view.duration import human


def flow_text(saga: SagaHead) -> str:
    """`order v3`; what it begins with where it follows no flow."""
    return f"{saga.flow} v{saga.flow_version}" if saga.flow_version else f"begins with {saga.begins}"


def waiting_for(saga: SagaHead) -> list[Node]:
    """Who has to do something now, and for how long already; the error where nobody is going to."""
    if saga.status in ENDED:
        return [f"{each.service}: {class_name(each.error)}" for each in saga.dead_letters[:1]]
    undo = saga.undo
    if undo is not None and undo.status == "stuck":
        return [state("stuck", f"an operator: {undo.command or 'an undo'} failed")]
    if undo is not None and undo.status == "undeliverable":
        return [f"a service for {undo.command}"]
    if undo is not None and saga.status is Status.COMPENSATING:
        sent = ms_of(undo.sent)
        who = ", ".join(undo.waiting_for) or undo.confirmed_by
        return [f"{who}, ", took(sent)] if sent is not None else [who]
    if not saga.waiting_for:
        if saga.dead_letters:
            first = saga.dead_letters[0]
            return [state("late", f"{first.service}: dead-lettered ({class_name(first.error)})")]
        return ["nobody, and it is not at its end"] if saga.flow_version else []
    first_owed, *others = saga.waiting_for
    return [*owed_text(first_owed), *([f" + {len(others)} more"] if others else [])]


def owed_text(owed: WaitingDocument) -> list[Node]:
    """`payments, 12 s (retry 4)`."""
    since = ms_of(owed.since)
    found: list[Node] = [f"{owed.service}, ", took(since) if since is not None else human(owed.waited_ms)]
    if owed.failed_attempts:
        found.append(state("soon", f" (retry {owed.failed_attempts}: {class_name(owed.error)})"))
    return found


def deadline(saga: SagaSummary) -> list[Node]:
    """The most urgent clock; where none runs, the worst breach."""
    if saga.clocks:
        clock = saga.clocks[0]
        due = ms_of(clock.due)
        words: Node = left(due) if due is not None else clock.due
        return [span(f"state {STAND_CLASSES[clock.stands]}", words), span("soft", f" {clock.rule}")]
    breached = [told for told in saga.told if told.level == "breached"]
    if not breached:
        return []
    worst = max(breached, key=lambda told: told.late_ms or -1)
    late = "breached" if worst.late_ms is None else f"late by {human(worst.late_ms)}"
    return [state("late", late), span("soft", f" {worst.rule}")]
