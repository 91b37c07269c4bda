"""What became of one event, handler by handler."""

from collections.abc import Iterator
from typing import assert_never

from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.core.status import Status
from tracker.view.documents.moment import read_timestamp
from tracker.view.documents.saga import AttemptDocument, EventDocument, HandlingDocument
from tracker.view.duration import human, ordinal


def answers(event: EventDocument, services_known: bool, now_ms: int) -> Iterator[Text]:
    """A line for each handler that acted, then for each service that has not."""
    for handling in event.handled_by:
        yield _handling_text(handling, now_ms)
    for answer in event.waiting_for:
        if not answer.failed_attempts and answer.parked is None:
            yield Text(f"{answer.service}: no answer for {human(answer.waited_ms)}")
    # Without announcements nobody can say that nobody is subscribed.
    if not event.handled_by and not event.waiting_for and event.type is not None and services_known:
        yield Text("nobody subscribed")


def _handling_text(handling: HandlingDocument, now_ms: int) -> Text:
    service, last = handling.service, handling.attempts[-1]
    match last.outcome:
        case "handled":
            return Text(f"{service} {human(last.duration_ms)}{_repeats(handling)}")
        case "ignored":
            return Text(f"{service} ignored it")
        case "retrying":
            text = f"{service}: {ordinal(last.number + 1)} attempt {_due(last, now_ms)}{_reason(last)}"
            return Text(text, style=STATUS_STYLES[Status.RETRYING])
        case "parked":
            text = f"{service}: parked for {human(now_ms - read_timestamp(last.at))}"
            return Text(text, style=STATUS_STYLES[Status.PAUSED])
        case "dead-lettered":
            text = f"{service}: dead-lettered, {ordinal(last.number)} attempt{_reason(last)}"
            return Text(text, style=STATUS_STYLES[Status.FAILED])
        case _:
            assert_never(last.outcome)


def _repeats(handling: HandlingDocument) -> str:
    last = handling.attempts[-1]
    failed = [attempt for attempt in handling.attempts if attempt.outcome not in ("handled", "ignored")]
    handled = len(handling.attempts) - len(failed)
    attempt = f", {ordinal(last.number)} attempt" if last.number > 1 else ""
    reason = f" ({class_name(failed[-1].error)})" if failed and failed[-1].error else ""
    again = f", handled {handled} times" if handled > 1 else ""
    return attempt + reason + again


def _due(last: AttemptDocument, now_ms: int) -> str:
    if last.retry_at is None:
        return "to come"
    left_ms = read_timestamp(last.retry_at) - now_ms
    return f"in {human(left_ms)}" if left_ms >= 0 else f"due for {human(-left_ms)}"


def _reason(last: AttemptDocument) -> str:
    told = ": ".join(text for text in (class_name(last.error), last.message) if text)
    return f" ({told})" if told else ""


def class_name(error: str | None) -> str:
    """The class without its module, which is the service's own affair and fills the line."""
    return (error or "").rpartition(".")[2]
