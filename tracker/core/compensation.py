"""Compensation: what has to be undone, in which order, and how far that is.

Kinds of step (compensatable, pivot, retriable): C. Richardson, "Microservices Patterns", chapter 4.
Sagas: H. Garcia-Molina and K. Salem, "Sagas", SIGMOD 1987.

The rules:

* An event is undone by one command. It is sent again when the service gave it up, or the confirmation
  did not come within `undo_within`; each time under the same id, derived from the event. So a service
  that was only slow, and finds all attempts at once, obeys one of them.
* `reverse` undoes the newest event first, an effect always before its cause, and waits for each
  confirmation; `parallel` does not wait.
* An event that comes when its saga is being compensated, or has been, is undone as well.
* A confirmation belongs to the nearest event among its causes that it can undo; one without such a
  cause to the only event that it can undo. So what a service undid by itself is not undone again.
"""

from typing import NamedTuple

from msgspec import json, structs

from saga.core.ids import derived_id
from tracker.core.course import CompensationState, UndoState
from tracker.core.effect import Publish
from tracker.core.flow import Emit, ExpressionFailed, Flow, Undo
from tracker.core.saga import Seen
from tracker.core.status import standings
from tracker.core.subscriptions import Subscriptions
from tracker.core.timeline import Timeline
from tracker.core.variables import variables

UNDELIVERABLE_RETRY_MS = 10_000
"""So often it is looked whether a service handles a command that none did before."""


class Action(NamedTuple):
    """An event that can be undone."""

    event: str
    seen: Seen
    undo: Undo


class PlannedUndo(NamedTuple):
    """What `saga compensate --dry-run` shows. `error` says why it could not be done, "" if it can."""

    event: str
    type: str
    command: str
    topic: str
    data: bytes
    error: str


def actions(flow: Flow, timeline: Timeline, past_pivot: bool) -> list[Action]:
    """The events that are to be undone, newest first, effects before their causes; behind a pivot only
    if `past_pivot`.
    """
    pivots = [timeline.moment(event) for _, event in timeline.of(*flow.pivots)]
    found = []
    for name, undo in flow.undoes.items():
        for _, event in timeline.of(name):
            seen = timeline.step(event).seen
            if seen is not None and (past_pivot or not pivots or timeline.moment(event) < min(pivots)):
                found.append(Action(event, seen, undo))
    return sorted(found, key=lambda action: (timeline.moment(action.event), action.event), reverse=True)


def pivot(flow: Flow, timeline: Timeline) -> str:
    """The id of the event with which the saga went past its pivot; "" if it has not."""
    passed = timeline.of(*flow.pivots)
    return passed[0][1] if passed else ""


def confirmations(flow: Flow, timeline: Timeline) -> dict[str, int]:
    """When each event that has been undone was, by the id of the event."""
    found: dict[str, int] = {}
    undoing: dict[str, set[str]] = {}
    for name, undo in flow.undoes.items():
        undoing.setdefault(undo.confirmed, set()).add(name)
    for confirmed, undone in undoing.items():
        candidates = [event for _, event in timeline.of(*undone)]
        for time_ms, event in timeline.of(confirmed):
            cause = next((cause for cause in timeline.causes(event) if cause in candidates), None)
            if cause is None and len(candidates) == 1:
                cause = candidates[0]
            if cause is not None:
                found.setdefault(cause, time_ms)
    return found


def command_id(event: str, command: str) -> str:
    """The id of the command that undoes an event, in all its attempts."""
    return derived_id(event, f"tracker.undo.{command}", 0)


class Progress(NamedTuple):
    """A compensation after another look at it."""

    state: CompensationState
    commands: list[Publish]
    alerts: list[UndoState]  # undos that are stuck, or have become undeliverable
    next_ms: int


class Compensating:
    """One look at a compensation: what has been confirmed, what failed, what to do next.

    Parameters
    ----------
    wall_ms : the clock of the tracker. An attempt has `undo_within` from here; it is judged by the
        watermark, which passes that moment only when all that came until then has been read.
    """

    def __init__(
        self,
        flow: Flow,
        timeline: Timeline,
        state: CompensationState,
        subscriptions: Subscriptions,
        saga_id: str,
        now_ms: int | None,
        wall_ms: int,
    ) -> None:
        self._timeline = timeline
        self._state = state
        self._subscriptions = subscriptions
        self._saga_id = saga_id
        self._now_ms = now_ms
        self._wall_ms = wall_ms
        self._order = flow.compensation.order
        self._actions = actions(flow, timeline, state.by_operator)
        self._confirmed = confirmations(flow, timeline)
        self._commands: list[Publish] = []
        self._alerts: list[UndoState] = []

    def progress(self) -> Progress:
        """Take in what has come, and decide what is done next."""
        known = {undo.event: undo for undo in self._state.undos}
        undos = [
            self._taken_in(known.get(action.event, UndoState(action.event)), action)
            for action in self._actions
        ]
        for index in self._next(undos):
            undos[index] = self._driven(undos[index], self._actions[index])
        done = all(undo.settled for undo in undos)
        state = structs.replace(self._state, undos=tuple(undos))
        if done and state.done_ms < 0:
            settled = [undo.settled_ms for undo in undos]
            state = structs.replace(state, done_ms=max([state.at_ms, *settled]))
        elif not done and state.done_ms >= 0:
            state = structs.replace(state, done_ms=-1, round=state.round + 1)
        due = [undo.due_ms for undo in undos if undo.due_ms >= 0 and not undo.settled]
        return Progress(state, self._commands, self._alerts, min(due, default=-1))

    def _next(self, undos: list[UndoState]) -> list[int]:
        """Which undos may go on: all of them, or the one that is under way, or else the newest."""
        unsettled = [index for index, undo in enumerate(undos) if not undo.settled]
        if self._order == "parallel":
            return unsettled
        begun = [index for index in unsettled if undos[index].status != "planned" or undos[index].attempt]
        return (begun or unsettled)[:1]

    def _taken_in(self, undo: UndoState, action: Action) -> UndoState:
        """The undo after the news: confirmed, given up by its service, or still under way."""
        confirmed_ms = self._confirmed.get(undo.event)
        if undo.settled:
            return undo
        if confirmed_ms is not None:
            return structs.replace(undo, status="confirmed", settled_ms=confirmed_ms, due_ms=-1, error="")
        if undo.status != "running":
            return undo
        failure = self._given_up(undo, action)
        if not failure and (self._now_ms is None or self._now_ms < undo.due_ms):
            return undo
        error = failure or f"no {action.undo.confirmed} within {action.undo.within_ms / 1000:g} s"
        if undo.left > 0:
            if failure and (self._now_ms is None or self._now_ms < undo.due_ms):
                # Another attempt at once would fail at once: it is made when this one would be over.
                return undo if undo.error == error else structs.replace(undo, error=error)
            return structs.replace(undo, status="planned", error=error, due_ms=-1)
        return self._stuck(undo, error)

    def _driven(self, undo: UndoState, action: Action) -> UndoState:
        """The undo after what is to be done for it now."""
        if undo.status == "undeliverable" and self._now_ms is not None and self._now_ms < undo.due_ms:
            return undo
        if undo.status not in ("planned", "undeliverable"):
            return undo
        command = action.undo.command
        topic = self._subscriptions.topic_of(command.type)
        if not topic:
            error = f"no service announces {command.type}"
            again = structs.replace(
                undo, status="undeliverable", due_ms=self._wall_ms + UNDELIVERABLE_RETRY_MS, error=error
            )
            if undo.status != "undeliverable":
                self._alerts.append(again)
            return again
        try:
            data = command_data(command, self._timeline, self._saga_id, action.event, self._state.reason)
        except ExpressionFailed as failure:
            return self._stuck(undo, str(failure))
        attempt = undo.attempt + 1
        left = undo.left if undo.attempt > 0 else action.undo.attempts
        self._commands.append(
            Publish(
                command_id(action.event, command.type),
                self._saga_id,
                topic,
                command.type,
                action.event,
                action.seen.key,
                data,
                self._wall_ms,
            )
        )
        return UndoState(
            undo.event, "running", attempt, left - 1, self._wall_ms + action.undo.within_ms, -1, undo.error
        )

    def _given_up(self, undo: UndoState, action: Action) -> str:
        """Why the last attempt came to nothing; "" as long as no service gave it up."""
        step = self._timeline.steps.get(command_id(undo.event, action.undo.command.type))
        for handling in standings(step).values() if step is not None else ():
            last = handling.standing
            times = sum(attempt.outcome == "dead-lettered" for attempt in handling.attempts)
            if last.outcome == "dead-lettered" and times >= undo.attempt:
                return f"{handling.service}: {last.error}: {last.message}"
        return ""

    def _stuck(self, undo: UndoState, error: str) -> UndoState:
        stuck = structs.replace(undo, status="stuck", error=error, due_ms=-1)
        self._alerts.append(stuck)
        return stuck


def command_data(emit: Emit, timeline: Timeline, saga_id: str, event: str, reason: str) -> bytes:
    """The payload of an event that the tracker publishes because of `event`.

    Raises
    ------
    ExpressionFailed
        An expression has no value, or the payload that is to be passed on is not known.
    """
    if emit.data:
        values = variables(timeline, saga_id, event, reason)
        return json.encode({name: expression.evaluate(values) for name, expression in emit.data.items()})
    data = timeline.step(event).data
    if not data:
        raise ExpressionFailed(
            f"the payload of {event} is not known: it was published before the flow was, is no JSON object, "
            "or is too large"
        )
    return data


def plan(
    flow: Flow, timeline: Timeline, state: CompensationState, subscriptions: Subscriptions, saga_id: str
) -> list[PlannedUndo]:
    """What a compensation would still undo, in its order."""
    confirmed = confirmations(flow, timeline)
    settled = {undo.event for undo in state.undos if undo.settled} | set(confirmed)
    planned = []
    for action in actions(flow, timeline, state.by_operator):
        if action.event in settled:
            continue
        command, data, error = action.undo.command, b"", ""
        topic = subscriptions.topic_of(command.type)
        try:
            data = command_data(command, timeline, saga_id, action.event, state.reason)
        except ExpressionFailed as failure:
            error = str(failure)
        if not topic:
            error = f"no service announces {command.type}"
        planned.append(PlannedUndo(action.event, action.seen.type, command.type, topic, data, error))
    return planned
