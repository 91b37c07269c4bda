"""Which sagas are paused, and which of their events a service has parked.

The topics `saga.paused` and `saga.parked.<service>` are the truth; this is what has been read of them, and
what this instance has sent there and not read back yet.

An event is parked if its saga is paused, and also if another of the saga, from the same partition, is parked
and not done with: so it stays behind that. Parked events are handled in the order in which they were
published, and each is forgotten only when the topic says that it is done with. A pause may come while some
of them are on their way to their handlers: what is parked once more holds up what comes after it. So whatever
comes between a pause and the end of what was parked because of it, the order of the partition is kept.
"""

from collections import Counter
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")

Place = tuple[str, int]
"""Topic and partition that an event was published on. Whoever owns it handles what is parked of it."""


class _Parked(NamedTuple, Generic[Item]):
    turn: int
    place: Place
    item: Item


class Parking(Generic[Item]):
    """What is paused and parked. `active` is false as long as there is nothing of either."""

    def __init__(self) -> None:
        self.active = False
        self._paused: set[str] = set()
        self._parked: dict[str, dict[bytes, _Parked[Item]]] = {}  # by saga and key
        self._sagas: dict[bytes, str] = {}
        self._standing: Counter[tuple[str, Place]] = Counter()
        self._sent: dict[tuple[str, Place], set[bytes]] = {}
        self._taken: set[bytes] = set()
        self._returning: set[bytes] = set()  # of those that are taken
        self._ready: dict[str, None] = {}

    # What the topics say.

    def pause(self, saga: str) -> None:
        """Its events are to be parked from now on."""
        self._paused.add(saga)
        self._ready.pop(saga, None)
        self._look()

    def resume(self, saga: str) -> None:
        """It goes on, beginning with what is parked."""
        self._paused.discard(saga)
        if saga in self._parked:
            self._ready[saga] = None
        self._look()

    def put(self, key: bytes, saga: str, place: Place, turn: int, item: Item) -> None:
        """An event is parked, or once more under the same key.

        Parameters
        ----------
        turn : its offset at the place that it was published on.
        """
        self._arrived(key, saga, place)
        if key not in self._sagas:
            self._sagas[key] = saga
            self._standing[saga, place] += 1
        self._parked.setdefault(saga, {})[key] = _Parked(turn, place, item)
        self._taken.discard(key)
        self._returning.discard(key)
        if saga not in self._paused:
            self._ready[saga] = None
        self._look()

    def remove(self, key: bytes) -> None:
        """It has been handled, or otherwise done with."""
        saga = self._sagas.pop(key, None)
        if saga is None:
            return
        self._taken.discard(key)
        parked = self._parked[saga]
        place = parked.pop(key).place
        self._standing[saga, place] -= 1
        if not self._standing[saga, place]:
            del self._standing[saga, place]
        if not parked:
            del self._parked[saga]
            self._ready.pop(saga, None)
        elif key in self._returning and saga not in self._paused:
            self._ready[saga] = None  # for those that wait for it
        self._returning.discard(key)
        self._look()

    # What this instance does.

    def paused(self, saga: str) -> bool:
        """Whether no handler may run for the saga."""
        return saga in self._paused

    def waits(self, saga: str, place: Place) -> bool:
        """Whether a new event of the saga from this partition has others before it that are parked."""
        return (saga, place) in self._standing or (saga, place) in self._sent

    def returns(self, key: bytes) -> bool:
        """Whether an event that was taken has to be parked once more, as one before it was."""
        return key in self._returning

    def sent(self, key: bytes, saga: str, place: Place) -> None:
        """An event is about to be parked: from now on others wait behind it."""
        self._sent.setdefault((saga, place), set()).add(key)
        if key in self._taken and key not in self._returning:
            parked = self._parked[saga]
            self._returning.update(
                each
                for each, (turn, where, _) in parked.items()
                if each in self._taken and where == place and turn >= parked[key].turn
            )
        self._look()

    def take(self, owned: Callable[[Place], bool], most: int) -> list[Item]:
        """Parked events to be handled now, those of a saga in their order; each is given once.

        Parameters
        ----------
        owned : whether what was published there is ours to handle.
        """
        found: list[Item] = []
        while self._ready:
            saga = next(iter(self._ready))
            held: set[Place] = set()
            for key, parked in sorted(self._parked[saga].items(), key=_turn):
                if key in self._returning:
                    held.add(parked.place)  # what comes after it waits until it is back
                if key in self._taken or parked.place in held or not owned(parked.place):
                    continue
                if len(found) >= most:
                    return found
                self._taken.add(key)
                found.append(parked.item)
            del self._ready[saga]
        return found

    def begin(self) -> None:
        """What was taken or sent and does not stand in the topics has not happened; partitions are others."""
        self._taken.clear()
        self._returning.clear()
        self._sent.clear()
        self._ready = dict.fromkeys(saga for saga in self._parked if saga not in self._paused)
        self._look()

    def _arrived(self, key: bytes, saga: str, place: Place) -> None:
        sent = self._sent.get((saga, place))
        if sent is not None:
            sent.discard(key)
            if not sent:
                del self._sent[saga, place]

    def _look(self) -> None:
        self.active = bool(self._paused or self._parked or self._sent)


def _turn(entry: tuple[bytes, _Parked[Item]]) -> int:
    return entry[1].turn
