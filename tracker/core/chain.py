"""What caused what: the events of a saga as a tree, and where it begins and ends."""

from collections.abc import Container, Iterable, Iterator

from msgspec import Struct, structs

from tracker.core.cloudevent import SOURCE
from tracker.core.saga import Saga, Seen, Step, marked

UNKNOWN_FLOW = "(unknown)"
"""Stands for the flow of sagas that no flow file describes: they are tracked all the same."""


class Link(Struct, frozen=True, gc=False):
    """A step in its place in the tree.

    Attributes
    ----------
    parent : id of the step that caused it; None for a root.
    last : whether it is the last one below its parent.
    after_ms : time since the cause, below zero when clocks disagree; None when either is not known.
    cause_unknown : a root that should not be one: its cause is no step of the saga, or has not been
        read yet, or lies in a circle.
    """

    event: str
    step: Step
    depth: int
    parent: str | None
    last: bool
    after_ms: int | None
    cause_unknown: bool


def chain(saga: Saga) -> list[Link]:
    """Every step exactly once, those known beyond the limit too; causes before effects, siblings by time.

    Roots that are none by right come last: the saga lacks their cause.
    """
    if saga.sample is not None:
        saga = structs.replace(saga, steps=saga.steps | marked(saga))
    below, roots, strays = _sorted_tree(saga)
    links: list[Link] = []
    placed: set[str] = set()
    _walk(saga, roots, False, below, links, placed)
    _walk(saga, strays, True, below, links, placed)
    # What is left are circles: no event of theirs can be reached from outside.
    for event in _by_time(saga, (event for event in saga.steps if event not in placed)):
        if event not in placed:
            _walk(saga, [event], True, below, links, placed)
    return links


def _sorted_tree(saga: Saga) -> tuple[dict[str, list[str]], list[str], list[str]]:
    below: dict[str, list[str]] = {}
    roots: list[str] = []
    strays: list[str] = []
    for event in _by_time(saga, saga.steps):
        seen = saga.steps[event].seen
        if seen is None or (seen.cause and seen.cause not in saga.steps):
            strays.append(event)
        elif seen.cause:
            below.setdefault(seen.cause, []).append(event)
        else:
            roots.append(event)
    return below, roots, strays


def _walk(
    saga: Saga,
    roots: list[str],
    cause_unknown: bool,
    below: dict[str, list[str]],
    links: list[Link],
    placed: set[str],
) -> None:
    # A stack and no recursion: a chain may be as long as a saga may have steps.
    todo: list[tuple[str, str | None, int, bool]] = [
        (root, None, 0, root == roots[-1]) for root in reversed(roots)
    ]
    placed.update(roots)
    while todo:
        event, parent, depth, last = todo.pop()
        after_ms = None if parent is None else _after_ms(saga.steps[parent], saga.steps[event])
        unknown = cause_unknown and parent is None
        links.append(Link(event, saga.steps[event], depth, parent, last, after_ms, unknown))
        children = [child for child in below.get(event, ()) if child not in placed]
        placed.update(children)
        todo.extend((child, event, depth + 1, child == children[-1]) for child in reversed(children))


def _after_ms(cause: Step, effect: Step) -> int | None:
    if cause.seen is None or effect.seen is None:
        return None
    return effect.seen.time_ms - cause.seen.time_ms


def first_event(saga: Saga) -> Seen | None:
    """The event that began the saga; None until it has been read."""
    return min((seen for seen in _seen(saga) if not seen.cause), default=None)


def last_event(saga: Saga) -> Seen | None:
    """The newest event by its own time; None when only receipts are known."""
    return max(_seen(saga), default=None)


def forward_events(saga: Saga, undoing: Container[str] = frozenset()) -> list[Seen]:
    """The events on the way of the business, oldest first: not what the tracker published or that led to.

    While a saga is undone, the last of them is where it turned round. `undoing` are types that are not
    part of the way either, whoever published them.
    """
    back = {
        event for event, step in saga.steps.items() if step.seen is not None and step.seen.source == SOURCE
    }
    if back:
        below, _, _ = _sorted_tree(saga)
        todo = list(back)
        while todo:
            led_to = [event for event in below.get(todo.pop(), ()) if event not in back]
            back.update(led_to)
            todo += led_to
    return sorted(
        step.seen
        for event, step in saga.steps.items()
        if step.seen is not None and event not in back and step.seen.type not in undoing
    )


def flow_name(saga: Saga) -> str:
    """The flow whose file the tracker follows for this saga; `UNKNOWN_FLOW` if there is none."""
    return (saga.course.flow if saga.course is not None else "") or UNKNOWN_FLOW


def begin_type(saga: Saga) -> str:
    """The type of the event that began the saga; "" until it has been read."""
    first = first_event(saga)
    return "" if first is None else first.type


def business_key(saga: Saga) -> str:
    """The key of the first event that has one other than the id of the saga; "" when none has."""
    first = first_event(saga)
    if first is not None and first.key:
        return first.key
    keyed = [seen for seen in _seen(saga) if seen.key]
    return min(keyed).key if keyed else ""


def began_ms(saga: Saga) -> int:
    """When the earliest thing known of it happened, milliseconds since the epoch."""
    if not saga.steps and saga.children:
        return saga.children[0].at_ms  # it is known by them alone as yet
    known = saga.steps if saga.sample is None else saga.steps | marked(saga)
    return min((begin_ms(step) for step in known.values()), default=0)


def acted_ms(saga: Saga) -> int:
    """When the latest thing known of it happened: an event, or the end of an attempt."""
    newest_ms = max((_end_ms(step) for step in saga.steps.values()), default=began_ms(saga))
    return newest_ms if saga.sample is None else max(newest_ms, saga.sample.last_ms)


def begin_ms(step: Step) -> int:
    """The event's own time; that of the earliest attempt as long as only receipts are known."""
    if step.seen is not None:
        return step.seen.time_ms
    return min(attempt.at_ms for handling in step.handlings for attempt in handling.attempts)


def _end_ms(step: Step) -> int:
    ends = [
        attempt.at_ms + attempt.duration_us // 1000
        for handling in step.handlings
        for attempt in handling.attempts
    ]
    return max(ends if step.seen is None else [step.seen.time_ms, *ends])


def _seen(saga: Saga) -> Iterator[Seen]:
    """Every event that has been read, and is kept."""
    for step in saga.steps.values():
        if step.seen is not None:
            yield step.seen
    if saga.sample is not None:
        for step in marked(saga).values():
            if step.seen is not None:
                yield step.seen


def _by_time(saga: Saga, events: Iterable[str]) -> list[str]:
    """Oldest first; those of one millisecond as they lie in Kafka, which is how their producer sent them."""

    def place(event: str) -> tuple[int, str, int, int, str]:
        seen = saga.steps[event].seen
        if seen is None:
            return begin_ms(saga.steps[event]), "", 0, 0, event
        return seen.time_ms, seen.topic, seen.partition, seen.offset, event

    return sorted(events, key=place)
