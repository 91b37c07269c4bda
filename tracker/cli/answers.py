"""What became of one event, handler by handler."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.duration import human, ordinal
from tracker.core.chain import Link
from tracker.core.saga import Attempt, Handling
from tracker.core.status import Status, Waiting
from tracker.core.subscriptions import Subscriptions


def answers(link: Link, subscriptions: Subscriptions, owed: Sequence[Waiting], now_ms: int) -> Iterator[Text]:
    """A line for each handler that acted, then for each service that has not.

    `owed` are the answers to this event that are still waited for.
    """
    for handling in link.step.handlings:
        yield _handling_text(handling, now_ms)
    for answer in owed:
        if not answer.retrying:
            yield Text(f"{answer.service}: no answer for {human(now_ms - answer.since_ms)}")
    seen = link.step.seen
    # Without announcements nobody can say that nobody is subscribed.
    if not link.step.handlings and not owed and seen is not None and subscriptions.services:
        yield Text("nobody subscribed")


def _handling_text(handling: Handling, now_ms: int) -> Text:
    service, last = handling.service, handling.standing
    match last.outcome:
        case "handled":
            return Text(f"{service} {human(last.duration_us / 1000)}{_repeats(handling)}")
        case "ignored":
            return Text(f"{service} ignored it")
        case "retrying":
            text = f"{service}: {ordinal(last.number + 1)} attempt {_due(last, now_ms)}{_reason(last)}"
            return Text(text, style=STATUS_STYLES[Status.RETRYING])
        case "dead-lettered":
            text = f"{service}: dead-lettered, {ordinal(last.number)} attempt{_reason(last)}"
            return Text(text, style=STATUS_STYLES[Status.FAILED])
        case _:
            assert_never(last.outcome)


def _repeats(handling: Handling) -> str:
    last = handling.standing
    failed = [attempt for attempt in handling.attempts if not attempt.settled]
    handled = len(handling.attempts) - len(failed)
    attempt = f", {ordinal(last.number)} attempt" if last.number > 1 else ""
    reason = f" ({class_name(failed[-1].error)})" if failed and failed[-1].error else ""
    again = f", handled {handled} times" if handled > 1 else ""
    return attempt + reason + again


def _due(last: Attempt, now_ms: int) -> str:
    if last.retry_at_ms < 0:
        return "to come"
    left_ms = last.retry_at_ms - now_ms
    return f"in {human(left_ms)}" if left_ms >= 0 else f"due for {human(-left_ms)}"


def _reason(last: Attempt) -> str:
    told = ": ".join(text for text in (class_name(last.error), last.message) if text)
    return f" ({told})" if told else ""


def class_name(error: str | None) -> str:
    """The class without its module, which is the service's own affair and fills the line."""
    return (error or "").rpartition(".")[2]
