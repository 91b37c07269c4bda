"""Every event below its cause, when it came, who was busy with it; and how long the clocks ran."""

from collections.abc import Iterator, Sequence

from tracker.core.words import plural
from tracker.dashboard.drawing.waterfall import Bar, Line, waterfall
from tracker.dashboard.moment import at, left, ms_of
from tracker.dashboard.node import Node, div, link, span
from tracker.dashboard.page import panel
from tracker.dashboard.place import Place, href
from tracker.dashboard.words import STAND_CLASSES, class_name, state
from tracker.view.documents.clocks import ClockDocument
from tracker.view.documents.saga import AttemptDocument, EventDocument, HandlingDocument, SagaDocument
from tracker.view.duration import human, ordinal
from tracker.view.percent import percent

WAIT_SHARE, WAIT_MS_MIN = 0.5, 100
"""As much of the timeline, beside what happened, is for what is still waited for."""

LINES_MAX = 300
"""Events that are drawn at first; the address says so when somebody wants all of them."""


def timeline_panel(saga: SagaDocument, place: Place, now_ms: int) -> Node:
    """The events, each a link to what is known of it, and the deadlines below them."""
    whole = place.asked.get("events") == "all"
    events = saga.events if whole else saga.events[:LINES_MAX]
    from_ms, until_ms = _axis(saga, now_ms)
    more = None
    if len(events) < len(saga.events):
        more = div("pager", link(place.but(events="all"), "button", f"Show all {len(saga.events):,} events"))
    beside = span("soft", plural(len(saga.events), "event"))
    if saga.truncated:
        beside = span("soft", f"{len(saga.events):,} of its events: it has too many to keep each")
    clocks = [_clock(clock, from_ms, until_ms, now_ms) for clock in saga.clocks]
    picture = waterfall(list(_lines(events, place, now_ms)), clocks, from_ms, until_ms)
    return panel("Timeline", picture, more, beside=beside, name="timeline")


def _axis(saga: SagaDocument, now_ms: int) -> tuple[int, int]:
    """From when till when the timeline goes: a long wait must not press all that happened into one point."""
    times = [ms for each in saga.events for ms in _times(each)]
    from_ms, last_ms = min(times, default=now_ms), max(times, default=now_ms)
    if not any(each.waiting_for for each in saga.events):
        return from_ms, last_ms
    wait_ms = max(WAIT_MS_MIN, round(WAIT_SHARE * (last_ms - from_ms)))
    return from_ms, min(max(now_ms, last_ms), last_ms + wait_ms)


def _times(event: EventDocument) -> Iterator[int]:
    when = ms_of(event.time)
    if when is not None:
        yield when
    for handling in event.handled_by:
        for attempt in handling.attempts:
            began = ms_of(attempt.at)
            if began is not None:
                yield began
                yield began + round(attempt.duration_ms)


def _lines(events: Sequence[EventDocument], place: Place, now_ms: int) -> Iterator[Line]:
    rails: list[bool] = []
    for index, event in enumerate(events):
        del rails[event.depth :]
        rails.append(_goes_on(events, index))
        when = ms_of(event.time)
        bars = tuple(_bars(event, now_ms))
        first = when if when is not None else min((bar.from_ms for bar in bars), default=now_ms)
        address = href(place.path, {**place.asked, "event": event.id})
        name = link(address, "", event_name(event), data_step=True, data_stay=True)
        classes = "back" if event.by_tracker else ""
        if place.asked.get("event") == event.id:
            classes += " chosen"
        meta = at(first), *_meta(event)
        yield Line((name,), meta, tuple(rails[1:]), first, classes, bars, href=address)


def _goes_on(events: Sequence[EventDocument], index: int) -> bool:
    """Whether another event follows below the same cause."""
    depth = events[index].depth
    for other in events[index + 1 :]:
        if other.depth <= depth:
            return other.depth == depth and depth > 0
    return False


def event_name(event: EventDocument) -> str:
    """Its type, and whether it undoes something."""
    if event.type is None:
        return f"event {event.id}"
    return f"↩ {event.type}" if event.by_tracker else event.type


def _meta(event: EventDocument) -> list[Node]:
    found: list[Node] = [f" · {event.source}"] if event.source else [" · only its receipts have been read"]
    if event.after_ms is not None:
        found.append(f" · {'-' if event.after_ms < 0 else '+'} {human(abs(event.after_ms))}")
    if event.cause_unknown:
        found.append(state("soon", f" · cause unknown: {event.cause}"))
    if event.copies and not event.by_tracker:
        found.append(state("soon", f" · published {len(event.copies)} times"))
    return found


def _bars(event: EventDocument, now_ms: int) -> Iterator[Bar]:
    for handling in event.handled_by:
        for attempt in handling.attempts:
            began = ms_of(attempt.at)
            if began is not None:
                yield _attempt(handling, attempt, began)
        yield from _next_attempt(handling, now_ms)
    for owed in event.waiting_for:
        since = ms_of(owed.since)
        if since is not None and not owed.failed_attempts:
            yield Bar((f"{owed.service}: no answer yet",), since, max(since, now_ms), "going", True)
    if not event.handled_by and not event.waiting_for and event.type is not None:
        when = ms_of(event.time)
        if when is not None:
            yield Bar(("nobody subscribed",), when, when, "plain")


def _attempt(handling: HandlingDocument, attempt: AttemptDocument, began: int) -> Bar:
    number = f", {ordinal(attempt.number)} attempt" if attempt.number > 1 else ""
    why = f" ({class_name(attempt.error)})"
    match attempt.outcome:
        case "handled":
            said, classes = f" {human(attempt.duration_ms)}{number}", "ok"
        case "ignored":
            said, classes = " ignored it", "plain"
        case "dead-lettered":
            said, classes = f": dead-lettered{number}{why}", "late"
        case _:
            said, classes = f": failed{number}{why}", "soon"
    hint = ": ".join(part for part in (attempt.error, attempt.message) if part) or handling.handler
    end = began + round(attempt.duration_ms)
    return Bar((f"{handling.service}{said}",), began, end, classes, False, hint)


def _next_attempt(handling: HandlingDocument, now_ms: int) -> Iterator[Bar]:
    last = handling.attempts[-1] if handling.attempts else None
    began = None if last is None else ms_of(last.at)
    if last is None or began is None or last.outcome != "retrying":
        return
    due = ms_of(last.retry_at)
    when = "to come" if due is None else "due" if due <= now_ms else "later"
    end = began + round(last.duration_ms)
    text = f"{handling.service}: {ordinal(last.number + 1)} attempt {when}"
    yield Bar((text,), end, max(end, now_ms), "soon", True)


def _clock(clock: ClockDocument, from_ms: int, until_ms: int, now_ms: int) -> Line:
    """From its start until it was met, until it was due, or until now."""
    started, due, met = ms_of(clock.started), ms_of(clock.due), ms_of(clock.met)
    began = from_ms if started is None else started
    running = clock.left_ms is not None
    end = met if met is not None else now_ms if running else min(until_ms, due or until_ms)
    bar = Bar(tuple(_stand(clock)), began, max(began, end), STAND_CLASSES[clock.stands], running)
    meta = f"{clock.measures} · within {human(clock.within_ms)}"
    return Line((clock.rule,), (meta,), (), None, "clock", (bar,), due)


def _stand(clock: ClockDocument) -> list[Node]:
    due, met, started = ms_of(clock.due), ms_of(clock.met), ms_of(clock.started)
    match clock.stands:
        case "on time" | "due soon" | "overdue":
            chance = clock.chance_to_breach
            told: list[Node] = [left(due) if due is not None else clock.due]
            if chance is not None and clock.stands != "overdue":
                told.append(f", {percent(chance)} to be breached")
            return told
        case "met":
            return [f"met after {human(met - started)}" if met is not None and started is not None else "met"]
        case "late":
            return [f"late by {human(clock.late_ms or 0)}"]
        case "missed":
            return ["breached, and it never came"]
        case _:
            return [clock.stands]
