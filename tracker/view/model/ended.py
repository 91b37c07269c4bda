"""How a saga went that has ended: what the statistics of its flow count of it."""

from collections.abc import Container
from typing import NamedTuple

from msgspec import Struct

from tracker.core.chain import acted_ms
from tracker.core.contract.tally import Went, went_by
from tracker.core.contract.traffic import Passage
from tracker.core.course import Course
from tracker.core.saga import Saga
from tracker.core.status import Status
from tracker.core.way import Walk


class Group(NamedTuple):
    """What sagas are counted under; the names are those of `SagaRow`."""

    flow: str
    flow_version: int
    begins: str


class Ended(Struct, frozen=True, gc=False):
    """Two that are equal are counted alike.

    Attributes
    ----------
    at_ms : when it ended.
    took_ms : from its beginning on.
    breached : whether a deadline was.
    """

    group: Group
    status: Status
    at_ms: int
    took_ms: int
    breached: bool
    went: Went | Passage


def ended_of(
    saga: Saga,
    walked: Walk | None,
    group: Group,
    status: Status,
    began_ms: int,
    at_ms: int,
    undoing: Container[str],
) -> Ended:
    """How a saga went that ended at this time with this status; it was walked with the words `undoing`."""
    told = () if saga.course is None else saga.course.told
    breached = bool(told) and any(each.breached for each in told)
    went = went_by(walked, saga, status, undoing)
    return Ended(group, status, at_ms, max(0, at_ms - began_ms), breached, went)


def ended_ms(saga: Saga, status: Status) -> int:
    """When a saga of this status ended: what comes later is an answer that nobody waits for."""
    course = saga.course or Course()
    if status is Status.COMPENSATED and course.compensation is not None:
        return course.compensation.done_ms
    return course.ended_ms if course.ended_ms >= 0 else acted_ms(saga)
