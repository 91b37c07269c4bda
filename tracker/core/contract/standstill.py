"""Standstill: where the sagas of a flow are stuck, and when somebody is told.

A spot is an event type and the service that does not answer it, or nothing that follows it. It has one
alarm, however many sagas stand there: raised once sagas have been stuck there for a while, and raised
again when they have become ten times as many; taken back once none has been for as long. In between
nothing is said, nor where neither the past nor the flow file say how long it may take.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from saga.core.ids import derived_id
from tracker.core.contract.stuck import Stuck
from tracker.core.effect import Alert, Cause
from tracker.core.words import plural

RAISED: Cause = "standstill"
OVER: Cause = "going-on"

_MORE = 10


class Spot(NamedTuple):
    """Where sagas wait. `service` is "" where none is asked, and the next event does not come."""

    flow: str
    type: str
    service: str

    @property
    def key(self) -> str:
        """How an alert names the spot within its flow."""
        return f"{self.service}/{self.type}"

    @classmethod
    def of(cls, flow: str, key: str) -> "Spot":
        """The spot with this key."""
        service, _, event_type = key.partition("/")
        return cls(flow, event_type, service)


class Standstill(NamedTuple):
    """So many sagas are stuck at a spot, the first since then; in milliseconds since the epoch.

    `more`: there may be others, which were not looked at.
    """

    sagas: int
    since_ms: int
    more: bool = False


def standstills(flow: str, waits: Iterable[Iterable[Stuck]], *, more: bool) -> dict[Spot, Standstill]:
    """Where the sagas of a flow are stuck, by what each of them waits for; a guess is none.

    `more`: some that have waited less long are not among these.
    """
    found: dict[Spot, Standstill] = {}
    for waits_of_saga in waits:
        since_ms: dict[Spot, int] = {}
        for wait in waits_of_saga:
            if wait.guessed:
                continue
            spot = Spot(flow, wait.type, wait.service)
            since_ms[spot] = min(wait.since_ms, since_ms.get(spot, wait.since_ms))
        for spot, at_ms in since_ms.items():
            known = found.get(spot, Standstill(0, at_ms))
            found[spot] = Standstill(known.sagas + 1, min(known.since_ms, at_ms), more)
    return found


class Raised(NamedTuple):
    """An alarm that is raised: the id and time of its alert, and how many sagas it told of; 0 if that is
    forgotten.
    """

    id: str
    at_ms: int
    sagas: int = 0


class Alarms:
    """The alarms of all spots.

    Parameters
    ----------
    raised : those that were raised by whoever watched before.
    after_ms : for so long sagas must stand, or go on, before anything is said.
    """

    def __init__(self, raised: Mapping[Spot, Raised], after_ms: int) -> None:
        self._raised = dict(raised)
        self._after_ms = after_ms
        self._since_ms: dict[Spot, int] = {}

    def look(self, found: Mapping[Spot, Standstill], at_ms: int) -> list[Alert]:
        """What is to be told after a look at this time. It is told again until `told`."""
        news = []
        changing = {spot for spot in {*found, *self._raised} if self._changes(spot, found.get(spot))}
        self._since_ms = {spot: self._since_ms.get(spot, at_ms) for spot in changing}
        for spot, since_ms in sorted(self._since_ms.items()):
            if at_ms - since_ms >= self._after_ms:
                here, before = found.get(spot), self._raised.get(spot)
                if here is not None:
                    news.append(_alarm(spot, here, since_ms, at_ms))
                elif before is not None:
                    news.append(_end(spot, before, at_ms))
        return news

    def told(self, alerts: Iterable[Alert], found: Mapping[Spot, Standstill]) -> None:
        """These are told, and count from now on."""
        for alert in alerts:
            spot = Spot.of(alert.flow, alert.key)
            self._since_ms.pop(spot, None)
            if alert.cause == RAISED:
                self._raised[spot] = Raised(alert.id, alert.at_ms, found[spot].sagas)
            else:
                del self._raised[spot]

    def _changes(self, spot: Spot, here: Standstill | None) -> bool:
        before = self._raised.get(spot)
        if before is None or here is None:
            return True
        if before.sagas == 0:
            self._raised[spot] = before._replace(sagas=here.sagas)
            return False
        return here.sagas >= _MORE * before.sagas


def _alarm(spot: Spot, here: Standstill, since_ms: int, at_ms: int) -> Alert:
    least = "at least " if here.more else ""
    many = plural(here.sagas, "saga stands", "sagas stand")
    waited = (at_ms - here.since_ms) / 1000
    message = (
        f"{least}{many} still: {_what(spot)}, the first for {waited:.0f} s. "
        f"`saga list --stuck --flow {spot.flow}` lists them"
    )
    alert_id = derived_id(f"{spot.flow} {spot.key}", "tracker.standstill", since_ms)
    return Alert(alert_id, "", spot.key, spot.flow, 0, RAISED, at_ms, message)


def _end(spot: Spot, before: Raised, at_ms: int) -> Alert:
    message = f"sagas go on again, or are over, where {_what(spot)}"
    alert_id = derived_id(before.id, "tracker.going-on", 0)
    return Alert(alert_id, "", spot.key, spot.flow, 0, OVER, at_ms, message)


def _what(spot: Spot) -> str:
    if spot.service:
        return f"{spot.service} did not answer {spot.type} as soon as usual"
    return f"nothing followed {spot.type} as soon as usual"
