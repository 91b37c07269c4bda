"""What operators ask for, and whether the saga is in a state for it."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import structs

from tracker.core.course import PAUSES_MAX, CompensationState, Course, Pause, UndoState
from tracker.core.flow import Flow
from tracker.core.frame import CommandSeen
from tracker.core.timeline import Timeline


class Obeyed(NamedTuple):
    """The course after a command, or the refusal: why it can't be done; "" if it is."""

    course: Course
    refusal: str = ""


def obey(
    command: CommandSeen, course: Course, flow: Flow | None, timeline: Timeline, moment_ms: int
) -> Obeyed:
    """Do what the command asks for; it counts from `moment_ms` on."""
    if not command.by or not command.reason:
        return Obeyed(course, "a command needs `by` and `reason`: they are kept in the history of the saga")
    match command.action:
        case "note":
            return Obeyed(course)
        case "compensate":
            return _compensate(command, course, flow)
        case "cancel":
            return _cancel(command, course, flow)
        case "pause":
            return pause(course, Pause(moment_ms, command.by, command.reason))
        case "resume":
            return _resume(course, moment_ms)
        case "retry":
            attempts = _attempts(flow, timeline)
            return _undos(
                command,
                course,
                lambda undo: structs.replace(undo, status="planned", left=attempts(undo.event)),
            )
        case "skip":
            return _undos(
                command,
                course,
                lambda undo: structs.replace(undo, status="skipped", settled_ms=command.at_ms),
            )
        case "done":
            return _undos(
                command,
                course,
                lambda undo: structs.replace(undo, status="done", settled_ms=command.at_ms),
            )


def _compensate(command: CommandSeen, course: Course, flow: Flow | None) -> Obeyed:
    if flow is None:
        return Obeyed(course, "the saga is of no known flow, so nothing says how to undo it")
    if course.compensation is not None:
        done = course.compensation.done_ms >= 0
        return Obeyed(course, "the saga is compensated" if done else "the saga is being compensated already")
    begun = CompensationState(command.reason, "", command.at_ms, by_operator=True)
    return Obeyed(structs.replace(course, compensation=begun))


def _cancel(command: CommandSeen, course: Course, flow: Flow | None) -> Obeyed:
    if course.outcome:
        return Obeyed(course, f"the saga is {course.outcome} already; `compensate` undoes it all the same")
    obeyed = _compensate(command, course, flow) if command.undo else Obeyed(course)
    if obeyed.refusal:
        return obeyed
    return Obeyed(structs.replace(obeyed.course, outcome="cancelled", ended_ms=command.at_ms))


def pause(course: Course, begun: Pause) -> Obeyed:
    """Let the saga stand still, unless it does already or is over."""
    if course.paused is not None:
        return Obeyed(course, f"the saga is paused already, by {course.paused.by}: {course.paused.reason}")
    if course.compensation is not None and course.compensation.done_ms >= 0:
        return Obeyed(course, "the saga is compensated already")
    if course.outcome and course.compensation is None:
        return Obeyed(course, f"the saga is {course.outcome} already")
    if len(course.pauses) >= PAUSES_MAX:
        return Obeyed(course, f"the saga was paused {PAUSES_MAX} times, and that is the most")
    if course.pauses:
        begun = structs.replace(begun, from_ms=max(begun.from_ms, course.pauses[-1].to_ms))
    return Obeyed(structs.replace(course, pauses=(*course.pauses, begun)))


def _resume(course: Course, moment_ms: int) -> Obeyed:
    """Let it go on; what was due behind the beginning of the pause is due so much later."""
    paused = course.paused
    if paused is None:
        return Obeyed(course, "the saga is not paused")
    over = structs.replace(paused, to_ms=max(paused.from_ms, moment_ms))
    course = structs.replace(course, pauses=(*course.pauses[:-1], over))
    state = course.compensation
    if state is None:
        return Obeyed(course)
    undos = tuple(structs.replace(undo, due_ms=_put_off(undo.due_ms, over)) for undo in state.undos)
    then_due_ms = _put_off(state.then_due_ms, over)
    state = structs.replace(state, undos=undos, then_due_ms=then_due_ms)
    return Obeyed(structs.replace(course, compensation=state))


def _put_off(due_ms: int, over: Pause) -> int:
    return due_ms + over.to_ms - over.from_ms if due_ms > over.from_ms else due_ms


def _undos(command: CommandSeen, course: Course, settle: Callable[[UndoState], UndoState]) -> Obeyed:
    state = course.compensation
    if state is None:
        return Obeyed(course, "the saga is not being compensated")
    stuck = {
        undo.event for undo in state.undos if undo.status == "stuck" and command.event in ("", undo.event)
    }
    if not stuck:
        return Obeyed(course, f"no undo of {command.event} is stuck" if command.event else "no undo is stuck")
    undos = tuple(settle(undo) if undo.event in stuck else undo for undo in state.undos)
    return Obeyed(structs.replace(course, compensation=structs.replace(state, undos=undos)))


def _attempts(flow: Flow | None, timeline: Timeline) -> Callable[[str], int]:
    def attempts(event: str) -> int:
        step = timeline.known(event)
        seen = None if step is None else step.seen
        milestone = None if flow is None or seen is None else flow.events.get(seen.type)
        return 1 if milestone is None or milestone.undo is None else milestone.undo.attempts

    return attempts
