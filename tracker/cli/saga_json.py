"""One saga for programs: every event with its cause and its receipts."""

from tracker.cli.moment import timestamp
from tracker.cli.rows import row_json, waiting_json
from tracker.core.chain import Link, chain
from tracker.core.saga import Attempt, Handling, Saga
from tracker.core.status import waiting
from tracker.core.subscriptions import Subscriptions
from tracker.view.row import row_of


def saga_json(saga: Saga, subscriptions: Subscriptions, now_ms: int) -> dict[str, object]:
    """What `saga list --json` tells of it, and its events: causes before their effects."""
    owed = waiting(saga, subscriptions)
    return row_json(row_of(saga, subscriptions), now_ms) | {
        "truncated": saga.truncated,
        "events": [
            _link(link)
            | {"waiting_for": [waiting_json(answer, now_ms) for answer in owed if answer.event == link.event]}
            for link in chain(saga)
        ],
    }


def _link(link: Link) -> dict[str, object]:
    seen = link.step.seen
    known: dict[str, object] = (
        {"type": None}
        if seen is None
        else {
            "type": seen.type,
            "version": seen.version,
            "source": seen.source,
            "time": timestamp(seen.time_ms),
            "key": seen.key,
            "cause": seen.cause or None,
            "topic": seen.topic,
            "partition": seen.partition,
            "offset": seen.offset,
        }
    )
    return {
        "id": link.event,
        **known,
        "depth": link.depth,
        "after_ms": link.after_ms,
        "cause_unknown": link.cause_unknown,
        "copies": link.step.copies and [[c.topic, c.partition, c.offset] for c in link.step.copies],
        "handled_by": [_handling(handling) for handling in link.step.handlings],
    }


def _handling(handling: Handling) -> dict[str, object]:
    return {
        "service": handling.service,
        "handler": handling.handler,
        "outcome": handling.standing.outcome,
        "attempts": [_attempt(attempt) for attempt in handling.attempts],
    }


def _attempt(attempt: Attempt) -> dict[str, object]:
    return {
        "number": attempt.number,
        "outcome": attempt.outcome,
        "at": timestamp(attempt.at_ms),
        "duration_ms": attempt.duration_us / 1000,
        "error": attempt.error,
        "message": attempt.message,
        "retry_at": None if attempt.retry_at_ms < 0 else timestamp(attempt.retry_at_ms),
    }
