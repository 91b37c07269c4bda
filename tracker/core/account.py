"""What became of sagas, in numbers: those of known flows, counted when the tracker decides something.

Only a change of a saga's course costs anything here: most events and receipts change none.
"""

from collections import Counter
from collections.abc import Iterator

from tracker.core.course import Course, Told, UndoState
from tracker.core.histogram import BUSINESS_SECONDS, Histogram
from tracker.core.saga import Saga
from tracker.core.status import ENDED, Status, decided

_RESULTS = {"confirmed": "undone", "done": "done-by-hand", "skipped": "skipped", "stuck": "stuck"}
"""What became of an undo, by its status; the others are on their way."""


class Account:
    """What this process has decided since its start.

    A decision that a crash took back is counted again when it is made again.

    Attributes
    ----------
    trouble : sagas that could not be read, written as a whole or followed, by reason.
    breaches : by flow, rule and level, which is `warned` or `breached`.
    compensations : undos by flow, type of the undone event and what became of them.
    durations : in seconds, of ended sagas, by flow and outcome.
    left : sagas that were removed, because they had `ended`, were `silent`, or were so on their way along a
        flow: `abandoned`.
    late : facts that no saga was told about, by topic and reason, see `tracker.core.retention`.
    """

    def __init__(self) -> None:
        self.trouble: Counter[str] = Counter()
        self.breaches: Counter[tuple[str, str, str]] = Counter()
        self.compensations: Counter[tuple[str, str, str]] = Counter()
        self.durations: dict[tuple[str, str], Histogram] = {}
        self.left: Counter[str] = Counter()
        self.late: Counter[tuple[str, str]] = Counter()

    def decided(self, before: Course | None, saga: Saga) -> None:
        """The course of the saga was `before` and is another one now."""
        course = saga.course
        if course is None or not course.flow:
            return
        told = before.told if before is not None else ()
        if course.told is not told:
            for news in _new_told(told, course.told):
                level = "breached" if news.breached else "warned"
                self.breaches[course.flow, news.rule, level] += 1
        for undo in _settled(before, course):
            step = saga.steps.get(undo.event)
            undone = "" if step is None or step.seen is None else step.seen.type
            self.compensations[course.flow, undone, _RESULTS[undo.status]] += 1
        status = decided(course)
        if status in ENDED and (before is None or decided(before) not in ENDED):
            self._ended(course, status, saga)

    def _ended(self, course: Course, status: Status, saga: Saga) -> None:
        ended_ms = course.ended_ms
        if course.compensation is not None and course.compensation.done_ms >= 0:
            ended_ms = course.compensation.done_ms
        began_ms = min((step.seen.time_ms for step in saga.steps.values() if step.seen), default=ended_ms)
        key = course.flow, status.value
        if key not in self.durations:
            self.durations[key] = Histogram(BUSINESS_SECONDS)
        self.durations[key].add(max(0, ended_ms - began_ms) / 1000)


class Census:
    """How many sagas of known flows are in flight, by partition, flow and status.

    Those that have ended are not counted: they leave the table some day.
    """

    def __init__(self) -> None:
        self._partitions: dict[int, Counter[tuple[str, str]]] = {}

    def count(self, partition: int, before: Course | None, after: Course | None) -> None:
        """A saga of the partition has another course; None: there is none, or it was removed."""
        known = self._partitions.setdefault(partition, Counter())
        was, is_ = _place(before), _place(after)
        if was == is_:
            return
        if was is not None:
            known[was] -= 1
        if is_ is not None:
            known[is_] += 1

    def total(self) -> Counter[tuple[str, str]]:
        """By flow and status, over all partitions."""
        found: Counter[tuple[str, str]] = Counter()
        for counts in self._partitions.values():
            found.update(counts)
        return found

    def begin(self, partition: int) -> None:
        """Count the sagas of the partition from none on."""
        self._partitions[partition] = Counter()

    def forget(self) -> None:
        """No partition is ours any more."""
        self._partitions.clear()


def _place(course: Course | None) -> tuple[str, str] | None:
    if course is None or not course.flow:
        return None
    status = decided(course) or Status.OPEN
    return None if status in ENDED else (course.flow, status.value)


def _new_told(before: tuple[Told, ...], after: tuple[Told, ...]) -> Iterator[Told]:
    known = {(told.rule, told.event, told.breached, told.due_ms) for told in before}
    return (told for told in after if (told.rule, told.event, told.breached, told.due_ms) not in known)


def _settled(before: Course | None, after: Course) -> Iterator[UndoState]:
    """The undos that have come to a result since."""
    if after.compensation is None or (before is not None and before.compensation is after.compensation):
        return
    known = before.compensation.undos if before is not None and before.compensation is not None else ()
    results = {undo.event: undo.status for undo in known}
    for undo in after.compensation.undos:
        if undo.status in _RESULTS and results.get(undo.event) != undo.status:
            yield undo
