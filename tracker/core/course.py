"""What the tracker has decided for a saga so far. Unlike its steps, this depends on when facts came.

A decision is made once and then kept: what was told is never told again, an undo is asked for once
an attempt. All times are milliseconds since the Unix epoch, -1 where there is none.
"""

from typing import Literal

from msgspec import Struct

from tracker.core.command import Action

HISTORY_MAX = 100
PAUSES_MAX = 100
TOLD_MAX = 1_000
"""Warnings and breaches of one saga. The clocks of others run out without a word."""

UndoStatus = Literal["planned", "running", "undeliverable", "stuck", "confirmed", "skipped", "done"]
"""`skipped` and `done` by an operator's hand; `undeliverable` until a service announces the command."""

SETTLED = frozenset({"confirmed", "skipped", "done"})


class Told(Struct, frozen=True, order=True, array_like=True, gc=False):
    """A warning or a breach that was told. `event` is the one whose clock it was, where each has its own.

    `late_ms` is how long after the deadline came what was awaited.
    """

    rule: str
    event: str
    breached: bool
    due_ms: int
    late_ms: int = -1


class UndoState(Struct, frozen=True, array_like=True, gc=False):
    """How far the undoing of one event is.

    Attributes
    ----------
    event : id of the event that is undone.
    attempt : the number of the last command, counted from 1; 0 when none was sent.
    left : attempts that remain.
    due_ms : when the attempt counts as failed, or is made again.
    settled_ms : when it was confirmed, or an operator settled it.
    """

    event: str
    status: UndoStatus = "planned"
    attempt: int = 0
    left: int = 0
    due_ms: int = -1
    settled_ms: int = -1
    error: str = ""

    @property
    def settled(self) -> bool:
        return self.status in SETTLED


class CompensationState(Struct, frozen=True, array_like=True, gc=False):
    """The compensation of a saga.

    Attributes
    ----------
    trigger : id of the event that triggered it; "" for a breach or an operator.
    by_operator : then what lies behind a pivot is undone as well.
    undos : in the order in which they are made.
    round : counted from 1; an action that comes when all was undone begins another one.
    done_ms : when all was settled.
    then : id of the event that said so.
    then_due_ms : when it is looked again whether a service knows that event, or whether it has come.
    """

    reason: str
    trigger: str
    at_ms: int
    by_operator: bool
    undos: tuple[UndoState, ...] = ()
    round: int = 1
    done_ms: int = -1
    then: str = ""
    then_due_ms: int = -1

    @property
    def stuck(self) -> bool:
        return any(undo.status == "stuck" for undo in self.undos)


class Act(Struct, frozen=True, array_like=True, gc=False):
    """What an operator asked for, and what became of it."""

    command: str
    action: Action
    by: str
    reason: str
    at_ms: int
    accepted: bool
    message: str


class Pause(Struct, frozen=True, array_like=True, gc=False):
    """A time in which the saga stood still, by whom and why; `to_ms` is -1 as long as it does."""

    from_ms: int
    by: str
    reason: str
    to_ms: int = -1


Outcome = Literal["", "completed", "failed", "cancelled"]


class Course(Struct, frozen=True, array_like=True, gc=False):
    """`flow` is "" for a saga of no known flow, which only an operator can have given a course.

    `pauses` are in their order and do not overlap; only the last one may go on.
    """

    flow: str = ""
    flow_version: int = 0
    outcome: Outcome = ""
    ended_ms: int = -1
    told: tuple[Told, ...] = ()
    compensation: CompensationState | None = None
    history: tuple[Act, ...] = ()
    pauses: tuple[Pause, ...] = ()

    @property
    def paused(self) -> Pause | None:
        """The pause that goes on; None if the saga is not paused."""
        return self.pauses[-1] if self.pauses and self.pauses[-1].to_ms < 0 else None
