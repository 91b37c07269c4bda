"""What lists show of a saga."""

import sys

from msgspec import Struct

from tracker.core.chain import acted_ms, began_ms, business_key, flow_name, last_event
from tracker.core.saga import Saga
from tracker.core.status import ENDED, Status, Waiting, dead_letters, judged, waiting
from tracker.core.subscriptions import Subscriptions


class Row(Struct, frozen=True, gc=False):
    """One saga in a list.

    Attributes
    ----------
    began_ms, acted_ms : when the first and the last thing known of it happened, since the epoch.
    where : type of its newest event; "" as long as only receipts are known.
    events : how many events it has.
    waiting : who owes an answer, the longest awaited first.
    dead_letters : the service and the class of the exception of each, oldest first.
    """

    id: str
    flow: str
    key: str
    status: Status
    began_ms: int
    acted_ms: int
    where: str
    events: int
    waiting: tuple[Waiting, ...]
    dead_letters: tuple[tuple[str, str], ...]

    @property
    def in_flight(self) -> bool:
        return self.status not in ENDED


def row_of(saga: Saga, subscriptions: Subscriptions) -> Row:
    """A saga as lists show it."""
    last = last_event(saga)
    owed = waiting(saga, subscriptions)
    given_up = dead_letters(saga)
    # A million rows share a handful of type names: one object for each.
    return Row(
        id=saga.id,
        flow=sys.intern(flow_name(saga)),
        key=business_key(saga),
        status=judged(saga, owed, given_up),
        began_ms=began_ms(saga),
        acted_ms=acted_ms(saga),
        where="" if last is None else sys.intern(last.type),
        events=len(saga.steps),
        waiting=tuple(owed),
        dead_letters=tuple((letter.handling.service, letter.handling.standing.error) for letter in given_up),
    )
