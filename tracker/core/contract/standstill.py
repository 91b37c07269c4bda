"""Standstill: where the sagas of a flow are stuck, and when somebody is told.

A place is an event type and the service that does not answer it, or nothing that follows it. It has one
alarm, however many sagas stand there: raised once sagas have been stuck there for a while, and raised
again when they have become ten times as many; taken back once none has been for as long. In between
nothing is said.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from saga.core.ids import derived_id
from tracker.core.contract.stuck import Stuck
from tracker.core.effect import Alert, Cause

RAISED: Cause = "standstill"
OVER: Cause = "going-on"

_MORE = 10
_SAGAS_MAX = 1_000
"""More are not counted: see `tracker.view.queries.attention`."""


class Place(NamedTuple):
    """Where sagas wait. `service` is "" where none is asked, and the next event does not come."""

    flow: str
    type: str
    service: str

    @property
    def key(self) -> str:
        """How an alert names the place within its flow."""
        return f"{self.service}/{self.type}"

    @classmethod
    def of(cls, flow: str, key: str) -> "Place":
        """The place with this key."""
        service, _, event_type = key.partition("/")
        return cls(flow, event_type, service)


class Standstill(NamedTuple):
    """So many sagas are stuck at a place, the first since then; in milliseconds since the epoch."""

    sagas: int
    since_ms: int


def standstills(flow: str, waits: Iterable[Iterable[Stuck]]) -> dict[Place, Standstill]:
    """Where the sagas of a flow are stuck, by what each of them waits for."""
    found: dict[Place, Standstill] = {}
    for waits_of_saga in waits:
        since_ms: dict[Place, int] = {}
        for wait in waits_of_saga:
            place = Place(flow, wait.type, wait.service)
            since_ms[place] = min(wait.since_ms, since_ms.get(place, wait.since_ms))
        for place, at_ms in since_ms.items():
            known = found.get(place, Standstill(0, at_ms))
            found[place] = Standstill(known.sagas + 1, min(known.since_ms, at_ms))
    return found


class Raised(NamedTuple):
    """An alarm that is raised: the id of its alert, and how many sagas it told of; 0 if that is forgotten."""

    id: str
    sagas: int = 0


class Alarms:
    """The alarms of all places.

    Parameters
    ----------
    raised : those that were raised by whoever watched before.
    after_ms : for so long sagas must stand, or go on, before anything is said.
    """

    def __init__(self, raised: Mapping[Place, Raised], after_ms: int) -> None:
        self._raised = dict(raised)
        self._after_ms = after_ms
        self._since_ms: dict[Place, int] = {}

    def look(self, found: Mapping[Place, Standstill], at_ms: int) -> list[Alert]:
        """What is to be told after a look at this time. It is told again until `told`."""
        news = []
        changing = {place for place in {*found, *self._raised} if self._changes(place, found.get(place))}
        self._since_ms = {place: self._since_ms.get(place, at_ms) for place in changing}
        for place, since_ms in sorted(self._since_ms.items()):
            if at_ms - since_ms >= self._after_ms:
                here, before = found.get(place), self._raised.get(place)
                if here is not None:
                    news.append(_alarm(place, here, since_ms, at_ms))
                elif before is not None:
                    news.append(_end(place, before, at_ms))
        return news

    def told(self, alerts: Iterable[Alert], found: Mapping[Place, Standstill]) -> None:
        """These are told, and count from now on."""
        for alert in alerts:
            place = Place.of(alert.flow, alert.key)
            self._since_ms.pop(place, None)
            if alert.cause == RAISED:
                self._raised[place] = Raised(alert.id, found[place].sagas)
            else:
                del self._raised[place]

    def _changes(self, place: Place, here: Standstill | None) -> bool:
        before = self._raised.get(place)
        if before is None or here is None:
            return True
        if before.sagas == 0:
            self._raised[place] = Raised(before.id, here.sagas)
            return False
        return here.sagas >= _MORE * before.sagas


def _alarm(place: Place, here: Standstill, since_ms: int, at_ms: int) -> Alert:
    more = "at least " if here.sagas >= _SAGAS_MAX else ""
    many = f"{more}{here.sagas:,} sagas stand" if here.sagas > 1 else "1 saga stands"
    waited = (at_ms - here.since_ms) / 1000
    message = (
        f"{many} still: {_what(place)}, the first for {waited:.0f} s. "
        f"`saga list --stuck --flow {place.flow}` lists them"
    )
    alert_id = derived_id(f"{place.flow} {place.key}", "tracker.standstill", since_ms)
    return Alert(alert_id, "", place.key, place.flow, 0, RAISED, at_ms, message)


def _end(place: Place, before: Raised, at_ms: int) -> Alert:
    message = f"sagas go on again, or are over, where {_what(place)}"
    alert_id = derived_id(before.id, "tracker.going-on", 0)
    return Alert(alert_id, "", place.key, place.flow, 0, OVER, at_ms, message)


def _what(place: Place) -> str:
    if place.service:
        return f"{place.service} did not answer {place.type} as soon as usual"
    return f"nothing followed {place.type} as soon as usual"
