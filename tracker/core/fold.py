"""Facts in, saga out. The heart of the tracker.

Facts come late, twice and in any order: from many partitions, from restarted collectors, from a
frame read again after a crash. So a saga is the *join* of its facts: folding is commutative,
associative and idempotent, and gives equal bytes for equal sets of facts. Every bound keeps that,
because each keeps the least or the greatest of some total order: what was dropped once would be
dropped by every other order as well.
"""

from collections.abc import Iterable, Sequence

from saga.core.receipt import Outcome
from tracker.core.frame import ChildBegun, EventSeen, Observation, ReceiptSeen
from tracker.core.saga import (
    ATTEMPTS_MAX,
    CHILDREN_MAX,
    COPIES_MAX,
    HANDLINGS_MAX,
    OUTCOMES,
    SAGA_VERSION,
    STEPS_MAX,
    Attempt,
    Child,
    Handling,
    Parent,
    Saga,
    Seen,
    Step,
)

MESSAGE_LENGTH_MAX = 300
"""Characters of a failure's message that a saga keeps; the whole is with the dead letter."""

_DURATION_MAX_MS = 30 * 86_400_000.0
_CODES: dict[Outcome, int] = {outcome: code for code, outcome in enumerate(OUTCOMES)}
_SETTLED = _CODES["ignored"]


def fold(saga: Saga | None, saga_id: str, facts: Sequence[Observation]) -> Saga:
    """The saga after these facts; `saga` itself, which may be None for a new one, stays as it is.

    Returns `saga` where the facts tell nothing new, so that `is` says whether to write it. What has
    been decided for the saga, its course, is kept as it was.
    """
    before = {} if saga is None else saga.steps
    parent, children = (None, ()) if saga is None else (saga.parent, saga.children)
    steps = before.copy()
    begun: list[ChildBegun] = []
    changed = saga is None
    for fact in facts:
        if isinstance(fact, EventSeen):
            event = fact.id
            step = steps.get(event)
            after = _with_event(step, fact, saga_id)
            if fact.parent:
                claimed = Parent(fact.parent, fact.cause or "")
                # Somebody may give a saga two parents: any of them, but always the same.
                parent = claimed if parent is None else min(parent, claimed)
        elif isinstance(fact, ReceiptSeen):
            event = fact.event
            step = steps.get(event)
            after = _with_receipt(step, fact)
        else:
            begun.append(fact)
            continue
        if after is not step:
            steps[event] = after
            changed = True
    if begun:
        children = _with_children(children, begun)
    related = saga is not None and (parent is not saga.parent or children is not saga.children)
    if saga is not None and not (changed or related):
        return saga
    if len(steps) != len(before):
        steps = _ordered(steps, saga_id)
        if saga is not None and not related and steps == before:
            return saga  # all that was new lies beyond the limit
    due_ms, course = (-1, None) if saga is None else (saga.due_ms, saga.course)
    return Saga(SAGA_VERSION, saga_id, due_ms, steps, course, parent, children)


def _with_event(step: Step | None, fact: EventSeen, saga_id: str) -> Step:
    seen = Seen(
        fact.time_ms,
        fact.topic,
        fact.partition,
        fact.offset,
        fact.type,
        fact.source,
        "" if fact.parent else fact.cause or "",  # its cause is in the parent: it is a root here
        "" if fact.key is None or fact.key == saga_id else fact.key,
        fact.version,
    )
    data = fact.data or b""
    if step is None:
        return Step(seen, (), (), data)
    known = step.seen
    if known is None:
        return Step(seen, (), step.handlings, data)
    if data and step.data and data != step.data:
        data = min(data, step.data)  # somebody gave two events one id: any of them, but always the same
    data = data or step.data
    if known == seen and data == step.data:
        return step
    copies = {seen.position, *(step.copies or (known.position,))}
    kept = tuple(sorted(copies)[:COPIES_MAX]) if len(copies) > 1 else ()
    if known < seen and kept == step.copies and data == step.data:
        return step
    return Step(min(known, seen), kept, step.handlings, data)


def _with_receipt(step: Step | None, fact: ReceiptSeen) -> Step:
    attempt = _attempt(fact)
    if step is None:
        return Step(None, (), (Handling(fact.service, fact.handler, (attempt,)),))
    handlings = step.handlings
    for index, handling in enumerate(handlings):
        if handling.service == fact.service and handling.handler == fact.handler:
            attempts = _joined(handling.attempts, attempt)
            if attempts == handling.attempts:
                return step
            changed = Handling(fact.service, fact.handler, attempts)
            kept = (*handlings[:index], changed, *handlings[index + 1 :])
            return Step(step.seen, step.copies, kept, step.data)
    added = Handling(fact.service, fact.handler, (attempt,))
    if not handlings:
        return Step(step.seen, step.copies, (added,), step.data)
    kept = tuple(sorted((*handlings, added), key=_name)[:HANDLINGS_MAX])
    return step if kept == handlings else Step(step.seen, step.copies, kept, step.data)


def _attempt(fact: ReceiptSeen) -> Attempt:
    code = _CODES[fact.outcome]
    # Foreign services send durations too: what is no sensible one counts as none.
    duration_ms = fact.duration_ms if 0 < fact.duration_ms < _DURATION_MAX_MS else 0
    duration_us = round(duration_ms * 1000)
    failure = fact.failure
    if failure is None and fact.retry_at_ms is None:
        return Attempt(code >= _SETTLED, fact.at_ms, fact.attempt, code, duration_us)
    return Attempt(
        code >= _SETTLED,
        fact.at_ms,
        fact.attempt,
        code,
        duration_us,
        "" if failure is None else failure.type[:MESSAGE_LENGTH_MAX],
        "" if failure is None else failure.message[:MESSAGE_LENGTH_MAX],
        -1 if fact.retry_at_ms is None else fact.retry_at_ms,
    )


def _joined(attempts: tuple[Attempt, ...], attempt: Attempt) -> tuple[Attempt, ...]:
    if attempt in attempts:
        return attempts
    return tuple(sorted((*attempts, attempt))[-ATTEMPTS_MAX:])


def _name(handling: Handling) -> tuple[str, str]:
    return handling.service, handling.handler


def _with_children(children: tuple[Child, ...], begun: Iterable[ChildBegun]) -> tuple[Child, ...]:
    """With these as well; `children` itself if none is new. Of what is told of one child the least counts."""
    known = {child.saga: child for child in children}
    for fact in begun:
        child = Child(fact.at_ms, fact.child, fact.event, fact.type)
        known[child.saga] = min(child, known.get(child.saga, child))
    kept = tuple(sorted(known.values())[:CHILDREN_MAX])
    return children if kept == children else kept


def _ordered(steps: dict[str, Step], saga_id: str) -> dict[str, Step]:
    """Steps in the order of their ids. Beyond the limit: the event that began the saga under its own
    id if there is one, and the least ids. Not the oldest: a step known by receipts has no time yet.
    """
    ids = sorted(steps)
    if len(ids) > STEPS_MAX:
        ids = sorted(sorted(ids, key=lambda event: (event != saga_id, event))[:STEPS_MAX])
    return {event: steps[event] for event in ids}
