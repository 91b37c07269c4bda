"""One saga for programs: every event with its cause and its receipts."""

from tracker.cli.history import act_json
from tracker.cli.kin import children_json, parent_json
from tracker.cli.moment import timestamp
from tracker.cli.rows import row_json, waiting_json
from tracker.cli.sla import clock_json
from tracker.cli.undos import compensation_json
from tracker.core.chain import Link, chain
from tracker.core.cloudevent import SOURCE
from tracker.core.prediction import Forecast
from tracker.core.saga import Attempt, Handling, Saga
from tracker.core.status import waiting
from tracker.view.clocks import clock_views
from tracker.view.kin import NO_RELATIVES, Relatives, child_views, parent_view
from tracker.view.known import Known
from tracker.view.row import row_of
from tracker.view.undo import undo_views


def saga_json(
    saga: Saga,
    known: Known,
    now_ms: int,
    forecast: Forecast | None = None,
    relatives: Relatives = NO_RELATIVES,
) -> dict[str, object]:
    """What `saga list --json` tells of it, all that was decided, and its events: causes come first."""
    owed = waiting(saga, known.subscriptions)
    flow, course = known.flow_of(saga), saga.course
    undoing = None if course is None else course.compensation
    parent = parent_view(saga, relatives)
    return row_json(row_of(saga, known), now_ms, forecast) | {
        "truncated": saga.truncated,
        "parent": None if parent is None else parent_json(parent),
        "children": children_json(child_views(saga, relatives, known)),
        "outcome": None if course is None or not course.outcome else course.outcome,
        "ended": None if course is None or course.ended_ms < 0 else timestamp(course.ended_ms),
        "clocks": [clock_json(view, forecast) for view in clock_views(saga, flow, now_ms)],
        "compensation": None
        if undoing is None
        else compensation_json(undoing, undo_views(saga, flow, known.subscriptions)),
        "history": [] if course is None else [act_json(act) for act in course.history],
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
        "by_tracker": seen is not None and seen.source == SOURCE,
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
