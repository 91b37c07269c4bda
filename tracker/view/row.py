"""What lists show of a saga."""

import sys

from msgspec import Struct

from tracker.core.chain import acted_ms, began_ms, begin_type, business_key, flow_name, forward_events
from tracker.core.contract.findings import Finding, findings
from tracker.core.contract.stuck import next_event
from tracker.core.course import Pause, Told
from tracker.core.saga import Saga
from tracker.core.sla import Clock
from tracker.core.status import ENDED, Status, Waiting, dead_letters, judged, waiting
from tracker.view.clocks import running_clocks
from tracker.view.known import Known
from tracker.view.undo import UndoView, undo_views


class Row(Struct, frozen=True, gc=False):
    """One saga in a list.

    Attributes
    ----------
    flow, flow_version : the flow it follows; "(unknown)" and 0 if there is none.
    begins : type of its first event; "" until that has been read.
    began_ms, acted_ms : when the first and the last thing known of it happened, since the epoch.
    where, where_ms : type and time of its newest event, not counting those of its undoing; "" and -1 as
        long as only receipts are known.
    events : how many events it has; about as many, where there are too many to keep each.
    waiting : who owes an answer, the longest awaited first.
    dead_letters : the service and the class of the exception of each, oldest first.
    clocks : those that run, the most urgent first.
    told : what was told of its clocks.
    undo : the undo that is under way or stuck, or the next one.
    ends_with : the type of the event that it still waits for when all is undone, or "".
    paused : the pause that goes on, if one does.
    findings : what is wrong with it, besides what takes too long; some count from a later time on.
    """

    id: str
    flow: str
    flow_version: int
    begins: str
    key: str
    status: Status
    began_ms: int
    acted_ms: int
    where: str
    where_ms: int
    events: int
    waiting: tuple[Waiting, ...]
    dead_letters: tuple[tuple[str, str], ...]
    clocks: tuple[Clock, ...] = ()
    told: tuple[Told, ...] = ()
    undo: UndoView | None = None
    ends_with: str = ""
    paused: Pause | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def in_flight(self) -> bool:
        return self.status not in ENDED

    @property
    def of_flow(self) -> bool:
        """Whether it follows a flow file."""
        return self.flow_version > 0

    @property
    def waits(self) -> tuple[Waiting, ...]:
        """What may be stuck: who owes an answer, or that nobody does and it is not at its end."""
        if not self.in_flight or self.paused is not None:
            return ()
        if not self.waiting and self.of_flow and self.where and self.status is Status.OPEN:
            return (next_event(self.where, self.where_ms),)
        return self.waiting


def row_of(saga: Saga, known: Known) -> Row:
    """A saga as lists show it."""
    flow = known.flow_of(saga)
    forward = forward_events(saga, known.undo_words(saga))
    owed = waiting(saga, known.subscriptions)
    given_up = dead_letters(saga)
    course = saga.course
    stands = judged(saga, owed, given_up)
    undos = undo_views(saga, flow, known.subscriptions) if stands not in ENDED else []
    begun = [undo for undo in undos if undo.status not in ("planned", "confirmed", "skipped", "done")]
    left = [undo for undo in undos if undo.status == "planned"]
    stuck = [undo for undo in begun if undo.status == "stuck"]
    then = None if flow is None else flow.compensation.then
    # A million rows share a handful of type names: one object for each.
    return Row(
        id=saga.id,
        flow=sys.intern(flow_name(saga)),
        flow_version=course.flow_version if course is not None and course.flow else 0,
        begins=sys.intern(begin_type(saga)),
        key=business_key(saga),
        status=stands,
        began_ms=began_ms(saga),
        acted_ms=acted_ms(saga),
        where=sys.intern(forward[-1].type) if forward else "",
        where_ms=forward[-1].time_ms if forward else -1,
        events=saga.events,
        waiting=tuple(owed),
        dead_letters=tuple((letter.handling.service, letter.handling.standing.error) for letter in given_up),
        clocks=running_clocks(saga, flow),
        told=() if course is None else course.told,
        undo=next(iter([*stuck, *begun, *left]), None),
        ends_with="" if then is None or stands is not Status.COMPENSATING else then.type,
        paused=None if course is None else course.paused,
        findings=findings(saga, known.expected(saga), flow),
    )
