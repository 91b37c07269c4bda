"""Saga in, facts out: the way back from `tracker.core.fold`.

What is folded from them is the same again, under whatever id; of a saga that has a sample of its steps,
the events that are known.
"""

from collections.abc import Iterator

from saga.core.receipt import Failure
from tracker.core.frame import ChildBegun, EventSeen, Observation, ReceiptSeen
from tracker.core.saga import Attempt, Handling, Position, Saga, Step, marked


def unfold(saga: Saga) -> Iterator[Observation]:
    """Facts that tell of all steps, the parent and the children of a saga."""
    for event, step in saga.steps.items():
        yield from _events(event, step, saga)
        for handling in step.handlings:
            for attempt in handling.attempts:
                yield _receipt(event, handling, attempt)
    for event, step in marked(saga).items():
        yield from _events(event, step, saga)
    for child in saga.children:
        yield ChildBegun(child.saga, child.type, child.event, child.at_ms)


def _events(event: str, step: Step, saga: Saga) -> Iterator[EventSeen]:
    """The event as it counts, and its copies."""
    seen = step.seen
    if seen is None:
        return
    # Every root may name the parent: that of the saga is the least that any has named.
    begun = saga.parent if not seen.cause else None
    # Of an event from long ago it is not kept when its record came, but when the last of them all did.
    recorded_ms = saga.heard_ms if saga.heard_ms > seen.time_ms else -1

    def at(position: Position, time_ms: int) -> EventSeen:
        return EventSeen(
            event,
            seen.type,
            seen.source,
            position.topic,
            position.partition,
            position.offset,
            time_ms,
            (seen.cause if begun is None else begun.event) or None,
            seen.key or None,
            seen.version,
            step.data or None,
            None if begun is None else begun.saga,
            recorded_ms,
        )

    yield at(seen.position, seen.time_ms)
    for position in step.copies:
        if position != seen.position:
            # Of several copies the least counts, and the time comes first.
            yield at(position, seen.time_ms + 1)


def _receipt(event: str, handling: Handling, attempt: Attempt) -> ReceiptSeen:
    failed = attempt.error or attempt.message
    return ReceiptSeen(
        event,
        handling.service,
        "",
        handling.handler,
        attempt.outcome,
        attempt.at_ms,
        attempt.duration_us / 1000,
        attempt.number,
        Failure(attempt.error, attempt.message) if failed else None,
        None if attempt.retry_at_ms < 0 else attempt.retry_at_ms,
    )
