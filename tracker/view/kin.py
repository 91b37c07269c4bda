"""The saga that began this one, and those that its events began."""

from collections.abc import Mapping

from msgspec import Struct

from saga.runtime.settings import KafkaSettings
from tracker.core.errors import UnreadableSaga
from tracker.core.saga import Saga, decode_saga
from tracker.core.status import Status, status
from tracker.view.changelog import read_sagas_of
from tracker.view.known import Known

Relatives = Mapping[str, Saga]
"""Parent and children by id, as far as they are known."""

NO_RELATIVES: Relatives = {}


class ParentView(Struct, frozen=True, gc=False):
    """`type` of the event that began this saga, "" where that is not known; `event` is its id, or ""."""

    saga: str
    event: str
    type: str


class ChildView(Struct, frozen=True, gc=False):
    """A saga that the event `event` began ("" where that was not told).

    Attributes
    ----------
    begins : type of its first event.
    flow : the flow it follows; "" as long as it is not known to follow one.
    status : None if nothing else is known of it.
    """

    saga: str
    event: str
    at_ms: int
    begins: str
    flow: str
    status: Status | None


def parent_view(saga: Saga, relatives: Relatives) -> ParentView | None:
    """What began the saga; None if it was no event of another one."""
    if saga.parent is None:
        return None
    parent = relatives.get(saga.parent.saga)
    step = None if parent is None else parent.steps.get(saga.parent.event)
    seen = None if step is None else step.seen
    return ParentView(saga.parent.saga, saga.parent.event, "" if seen is None else seen.type)


def child_views(saga: Saga, relatives: Relatives, known: Known) -> list[ChildView]:
    """What the saga began, oldest first."""
    views = []
    for child in saga.children:
        other = relatives.get(child.saga)
        flow = "" if other is None or other.course is None else other.course.flow
        stands = None if other is None else status(other, known.subscriptions)
        views.append(ChildView(child.saga, child.event, child.at_ms, child.type, flow, stands))
    return views


async def read_relatives(settings: KafkaSettings, saga: Saga) -> Relatives:
    """Parent and children of the saga; without those that are not in the table or can't be read."""
    ids = {child.saga for child in saga.children} | ({saga.parent.saga} if saga.parent is not None else set())
    found: dict[str, Saga] = {}
    for name, value in (await read_sagas_of(settings, ids) if ids else {}).items():
        try:
            found[name] = decode_saga(value)
        except UnreadableSaga:
            continue
    return found
