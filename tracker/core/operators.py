"""What operators ask for, and whether the saga is in a state for it."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import structs

from tracker.core.course import CompensationState, Course, UndoState
from tracker.core.flow import Flow
from tracker.core.frame import CommandSeen
from tracker.core.timeline import Timeline


class Obeyed(NamedTuple):
    """The course after a command, or the refusal: why it can't be done; "" if it is."""

    course: Course
    refusal: str = ""


def obey(command: CommandSeen, course: Course, flow: Flow | None, timeline: Timeline) -> Obeyed:
    """Do what the command asks for."""
    if not command.by or not command.reason:
        return Obeyed(course, "a command needs `by` and `reason`: they are kept in the history of the saga")
    match command.action:
        case "note":
            return Obeyed(course)
        case "compensate":
            return _compensate(command, course, flow)
        case "cancel":
            return _cancel(command, course, flow)
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
        seen = timeline.step(event).seen
        milestone = None if flow is None or seen is None else flow.events.get(seen.type)
        return 1 if milestone is None or milestone.undo is None else milestone.undo.attempts

    return attempts
