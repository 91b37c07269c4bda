"""What a compensation would do, without doing it."""

from typing import NamedTuple

from tracker.core.chain import first_event
from tracker.core.compensation import PlannedUndo, command_data, plan
from tracker.core.course import CompensationState
from tracker.core.flow import ExpressionFailed, Flow
from tracker.core.saga import Saga
from tracker.core.timeline import Timeline
from tracker.view.known import Known


class Plan(NamedTuple):
    """The undos in their order, and the event behind them; None if the flow names none.

    `begun`: a compensation is under way, or over, and this is what is left of it.
    """

    flow: Flow
    undos: tuple[PlannedUndo, ...]
    then: PlannedUndo | None
    begun: bool


def dry_run(saga: Saga, known: Known, reason: str, now_ms: int) -> Plan | None:
    """What `saga compensate` would do; None where no flow says how to undo the saga."""
    flow = known.flow_of(saga)
    if flow is None or saga.course is None:
        return None
    timeline = Timeline(saga)
    begun = saga.course.compensation
    state = begun or CompensationState(reason, "", now_ms, by_operator=True)
    undos = plan(flow, timeline, state, known.subscriptions, saga.id)
    return Plan(flow, tuple(undos), _then(flow, saga, state, timeline, known), begun is not None)


def _then(
    flow: Flow, saga: Saga, state: CompensationState, timeline: Timeline, known: Known
) -> PlannedUndo | None:
    then = flow.compensation.then
    first = first_event(saga)
    if then is None or first is None or timeline.root is None or state.then or timeline.of(then.type):
        return None
    data, error = b"", ""
    topic = known.subscriptions.topic_of(then.type)
    try:
        data = command_data(then, timeline, saga.id, timeline.root, state.reason)
    except ExpressionFailed as failure:
        error = str(failure)
    if not topic:
        error = f"no service announces {then.type}"
    return PlannedUndo(timeline.root, first.type, then.type, topic, data, error)
