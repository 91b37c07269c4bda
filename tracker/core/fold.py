"""Facts in, saga out. The heart of the tracker.

Facts come late, twice and in any order: from many partitions, from restarted collectors, from a
frame read again after a crash. So a saga is the *join* of its facts: folding is commutative,
associative and idempotent, and gives equal bytes for equal sets of facts. Every bound keeps that,
because each keeps the least or the greatest of some total order: what was dropped once would be
dropped by every other order as well.

Of more than `STEPS_MAX` steps a sample is kept: those whose id has a hash with so many zeros at its end that
few enough remain. Which these are follows from the ids alone, since a step that is known by a receipt has
neither type nor time yet. So it is known of a fact whether it belongs to the sample without looking at
the others, nothing is written for one that does not, and the number of all events can be told from the
sample. Beyond the limit an id has to name one event: of two that share one, either may be kept.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

from msgspec import structs

from saga.core.receipt import Outcome
from tracker.core.frame import ChildBegun, EventSeen, Observation, ReceiptSeen
from tracker.core.saga import (
    ATTEMPTS_MAX,
    CHILDREN_MAX,
    COPIES_MAX,
    HANDLINGS_MAX,
    MARKED_TYPES_MAX,
    MARKS_PER_TYPE_MAX,
    OUTCOMES,
    SAGA_VERSION,
    SILENCE_TOLD_MS,
    STEPS_MAX,
    Attempt,
    Child,
    Handling,
    Mark,
    Parent,
    Saga,
    Sample,
    Seen,
    Step,
)

MESSAGE_LENGTH_MAX = 300
"""Characters of a failure's message that a saga keeps; the whole is with the dead letter."""

_LEVEL_MAX = 32
_DURATION_MAX_MS = 30 * 86_400_000.0
_CODES: dict[Outcome, int] = {outcome: code for code, outcome in enumerate(OUTCOMES)}
_SETTLED = (_CODES["ignored"], _CODES["handled"])


def fold(saga: Saga | None, saga_id: str, facts: Sequence[Observation], latest_ms: int = sys.maxsize) -> Saga:
    """The saga after these facts; `saga` itself, which may be None for a new one, stays as it is.

    Returns `saga` where the facts tell nothing new, so that `is` says whether to write it. What has
    been decided for the saga, its course, is kept as it was. Facts that claim to be from after `latest_ms`
    count as heard then.
    """
    before = {} if saga is None else saga.steps
    parent, children = (None, ()) if saga is None else (saga.parent, saga.children)
    sample = None if saga is None else saga.sample
    mask = 0 if sample is None else (1 << sample.level) - 1
    steps = before if mask else before.copy()  # of most facts beyond the limit nothing is kept
    begun: list[ChildBegun] = []
    marked: list[EventSeen] = []
    changed = saga is None
    newest_ms = -1
    for fact in facts:
        if isinstance(fact, EventSeen):
            event = fact.id
            if fact.time_ms > newest_ms or fact.recorded_ms > newest_ms:
                newest_ms = fact.told_ms
            if fact.parent:
                claimed = Parent(fact.parent, fact.cause or "")
                # Somebody may give a saga two parents: any of them, but always the same.
                parent = claimed if parent is None else min(parent, claimed)
            if mask:
                marked.append(fact)
                if _beyond(event, saga_id, mask):
                    continue
            step = steps.get(event)
            after = _with_event(step, fact, saga_id)
        elif isinstance(fact, ReceiptSeen):
            event = fact.event
            if fact.at_ms > newest_ms:
                newest_ms = fact.at_ms
            if mask and _beyond(event, saga_id, mask):
                continue
            step = steps.get(event)
            after = _with_receipt(step, fact)
        else:
            begun.append(fact)
            newest_ms = max(newest_ms, fact.at_ms)
            continue
        if after is not step:
            if steps is before:
                steps = before.copy()
            steps[event] = after
            changed = True
    if begun:
        children = _with_children(children, begun)
    if sample is not None and marked:
        sample = _marked(sample, marked, saga_id)
    if newest_ms > latest_ms:
        newest_ms = latest_ms
    heard_ms = newest_ms - newest_ms % SILENCE_TOLD_MS if newest_ms >= 0 else -1
    if saga is not None:
        if heard_ms < saga.heard_ms:
            heard_ms = saga.heard_ms
        related = parent is not saga.parent or children is not saga.children
        if not (changed or related or sample is not saga.sample or heard_ms != saga.heard_ms):
            return saga
    if len(steps) != len(before):
        steps = {event: steps[event] for event in sorted(steps)}
        if len(steps) > STEPS_MAX:
            sample = sample or _first_sample(steps)
            steps, sample = _thinned(steps, sample, saga_id)
    due_ms, course, joins = (-1, None, None) if saga is None else (saga.due_ms, saga.course, saga.joins)
    return Saga(SAGA_VERSION, saga_id, due_ms, heard_ms, steps, course, parent, children, sample, joins)


def thinner(saga: Saga) -> Saga:
    """The saga with some half of its steps; itself if it has none that it can do without."""
    sample = saga.sample or _first_sample(saga.steps)
    if sample.level >= _LEVEL_MAX:
        return saga
    steps, sample = _halved(saga.steps, sample, saga.id)
    return structs.replace(saga, steps=steps, sample=sample)


def _seen(fact: EventSeen, saga_id: str) -> Seen:
    return Seen(
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


def _with_event(step: Step | None, fact: EventSeen, saga_id: str) -> Step:
    seen = _seen(fact, saga_id)
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
        return Attempt(code in _SETTLED, fact.at_ms, fact.attempt, code, duration_us)
    return Attempt(
        code in _SETTLED,
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


def _beyond(event: str, saga_id: str, mask: int) -> bool:
    """Whether a step is not in the sample. The event that began the saga under its own id always is."""
    return bool(crc32(event.encode()) & mask) and event != saga_id


def _thinned(steps: dict[str, Step], sample: Sample, saga_id: str) -> tuple[dict[str, Step], Sample]:
    """The least thin sample that is within the limit."""
    while len(steps) > STEPS_MAX and sample.level < _LEVEL_MAX:
        steps, sample = _halved(steps, sample, saga_id)
    return steps, sample


def _halved(steps: dict[str, Step], sample: Sample, saga_id: str) -> tuple[dict[str, Step], Sample]:
    mask = (1 << (sample.level + 1)) - 1
    kept = {event: step for event, step in steps.items() if not _beyond(event, saga_id, mask)}
    return kept, Sample(sample.level + 1, sample.marks, sample.last_ms)


def _first_sample(steps: dict[str, Step]) -> Sample:
    """What is known of a saga that still has all of its steps."""
    events = [(event, step.seen, step.data) for event, step in steps.items() if step.seen is not None]
    marks = [Mark(seen.time_ms, event, seen, data) for event, seen, data in events]
    return _with_marks(Sample(0, {}, -1), marks)


def _marked(sample: Sample, told: Iterable[EventSeen], saga_id: str) -> Sample:
    """With these events as well; `sample` itself if none is among the earliest of its type, or much newer."""
    news = []
    last_ms = sample.last_ms
    for fact in told:
        if _worth_a_mark(sample.marks, fact):
            news.append(Mark(fact.time_ms, fact.id, _seen(fact, saga_id), fact.data or b""))
        last_ms = max(last_ms, fact.time_ms - fact.time_ms % SILENCE_TOLD_MS)
    if news:
        after = _with_marks(Sample(sample.level, sample.marks, last_ms), news)
        return sample if after == sample else after
    return sample if last_ms == sample.last_ms else Sample(sample.level, sample.marks, last_ms)


def _worth_a_mark(marks: Mapping[str, tuple[Mark, ...]], fact: EventSeen) -> bool:
    known = marks.get(fact.type)
    if known is None:
        return len(marks) < MARKED_TYPES_MAX or fact.type < max(marks)
    last = known[-1]
    return len(known) < MARKS_PER_TYPE_MAX or (fact.time_ms, fact.id) <= (last.time_ms, last.event)


def _with_marks(sample: Sample, news: Iterable[Mark]) -> Sample:
    by_type = {name: {mark.event: mark for mark in marks} for name, marks in sample.marks.items()}
    last_ms = sample.last_ms
    for mark in news:
        known = by_type.setdefault(mark.seen.type, {})
        known[mark.event] = _joined_marks(mark, known.get(mark.event, mark))
        last_ms = max(last_ms, mark.time_ms - mark.time_ms % SILENCE_TOLD_MS)
    kept = {
        name: tuple(sorted(by_type[name].values())[:MARKS_PER_TYPE_MAX])
        for name in sorted(by_type)[:MARKED_TYPES_MAX]
    }
    return Sample(sample.level, kept, last_ms)


def _joined_marks(one: Mark, other: Mark) -> Mark:
    """Of what is told of one event the least counts; its payload may have been read the second time only."""
    if one == other:
        return one
    data = min(one.data, other.data) or one.data or other.data
    return structs.replace(min(one, other), data=data)
