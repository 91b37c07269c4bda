"""Who told whom."""

from tracker.dashboard.drawing.sequence import Message, in_words, sequence
from tracker.dashboard.node import Node, div, h, span
from tracker.dashboard.page import empty, panel
from tracker.view.documents.saga import EventDocument, SagaDocument
from tracker.view.duration import human

UNFOLDED_MAX = 30
"""A diagram of more events begins folded."""


def conversation_panel(saga: SagaDocument) -> Node:
    """A sequence diagram of all events, however many."""
    messages = [
        _message(event, event.type)
        for event in sorted(saga.events, key=lambda event: event.time or "")
        if event.type is not None
    ]
    if not messages:
        return panel("Sequence", empty("Nothing has been read", "Only receipts are known so far."))
    drawn = [div("scroll drawn", sequence(messages), tabindex=0), div("in-words", in_words(messages))]
    if len(messages) > UNFOLDED_MAX:
        drawn = [h("details", {}, h("summary", {}, f"Show the diagram of {len(messages):,} events"), *drawn)]
    beside = span("soft", "who told whom, in the order of time")
    return panel("Sequence", *drawn, beside=beside, name="sequence")


def _message(event: EventDocument, type_: str) -> Message:
    services = [each.service for each in event.handled_by] + [each.service for each in event.waiting_for]
    after = event.after_ms
    aside = f"+ {human(after)}" if after is not None and after >= 0 else ""
    return Message(type_, event.source or "?", tuple(dict.fromkeys(services)), _classes(event), aside)


def _classes(event: EventDocument) -> str:
    outcomes = {each.outcome for each in event.handled_by}
    if "dead-lettered" in outcomes:
        return "late"
    if "retrying" in outcomes:
        return "soon"
    return "undo" if event.by_tracker else ""
