"""Instances, partitions that change hands, and pauses: every event is handled once, each lane in order.

The world below stands in for Kafka: transactions that are committed or void, topics that are read late.
"""

from collections import defaultdict
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from saga.core.parking import Parking, Place

PLACES: list[Place] = [("orders", 0), ("orders", 1)]
SAGA = "s-1"


class Event(NamedTuple):
    saga: str
    place: Place
    offset: int

    @property
    def key(self) -> bytes:
        return f"{self.place[0]}/{self.place[1]}/{self.offset}".encode()


class Written(NamedTuple):
    """A record of the parked topic; no event: done with."""

    key: bytes
    event: Event | None


class Instance:
    """A service: what it has read of the topics, what it has given to handlers, what is not committed."""

    def __init__(self) -> None:
        self.parking = Parking[Event]()
        self.pauses_read = 0
        self.parked_read = 0
        self.places: set[Place] = set()
        self.running: list[tuple[Event, bool]] = []  # and whether it was parked
        self.open: list[tuple[Event, bool, bool]] = []  # and whether it is parked now

    def drop(self) -> None:
        self.running.clear()
        self.open.clear()


class Services(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[bool] = []
        self.parked: list[Written] = []
        self.published: defaultdict[Place, list[Event]] = defaultdict(list)
        self.finished: set[Event] = set()  # as the offsets and their metadata have it
        self.given: defaultdict[Place, int] = defaultdict(int)
        self.handled: list[Event] = []
        self.instances = [Instance(), Instance()]
        self.assign(0, 0)

    @initialize(count=st.integers(0, 3))
    def park(self, count: int) -> None:
        """Some are parked already, or the machine would seldom come to what happens with them."""
        self.tell()
        self.publish(PLACES[0], count)
        self.poll(count)
        for instance in self.instances:
            while instance.running:
                self.settle(instance, instance.running[0])
        self.commit()
        self.read_back()

    @rule(first=st.integers(0, 1), second=st.integers(0, 1))
    def assign(self, first: int, second: int) -> None:
        """A rebalance, or a crash: what is not committed is dropped, and what was is read to its end."""
        for instance in self.instances:
            instance.drop()
            instance.places = set()
        for place, owner in zip(PLACES, (first, second), strict=True):
            self.instances[owner].places.add(place)
            self.given[place] = 0
        for instance in self.instances:
            self.read(instance, len(self.pauses), len(self.parked))
            instance.parking.begin()

    @rule(place=st.sampled_from(PLACES), count=st.integers(1, 2))
    def publish(self, place: Place, count: int) -> None:
        events = self.published[place]
        events += [Event(SAGA, place, len(events) + number) for number in range(count)]

    @rule()
    def ask(self) -> None:
        """An operator pauses the saga, or has it go on."""
        self.pauses.append(not (self.pauses and self.pauses[-1]))

    @rule()
    def tell(self) -> None:
        """The same, and it is heard at once."""
        self.ask()
        self.hear()

    @rule()
    def hear(self) -> None:
        """The topics are read one before the other."""
        for instance in self.instances:
            self.read(instance, len(self.pauses), instance.parked_read)

    @rule()
    def read_back(self) -> None:
        for instance in self.instances:
            self.read(instance, instance.pauses_read, len(self.parked))

    def read(self, instance: Instance, pauses: int, parked: int) -> None:
        parking = instance.parking
        for paused in self.pauses[instance.pauses_read : pauses]:
            (parking.pause if paused else parking.resume)(SAGA)
        for key, event in self.parked[instance.parked_read : parked]:
            if event is None:
                parking.remove(key)
            else:
                parking.put(key, event.saga, event.place, event.offset, event)
        instance.pauses_read, instance.parked_read = pauses, parked

    @rule(most=st.integers(1, 3))
    def poll(self, most: int) -> None:
        for instance in self.instances:
            self.poll_for(instance, most)

    def poll_for(self, instance: Instance, most: int) -> None:
        for place in sorted(instance.places):
            events = self.published[place][self.given[place] : self.given[place] + most]
            self.given[place] += len(events)
            instance.running += [(event, False) for event in events if event not in self.finished]
        for event in instance.parking.take(lambda place: place in instance.places, most):
            instance.running.append((event, True))

    @precondition(lambda self: any(instance.running for instance in self.instances))
    @rule(data=st.data(), flips=st.lists(st.booleans(), min_size=1, max_size=4), commits=st.booleans())
    def handle(self, data: st.DataObject, flips: list[bool], commits: bool) -> None:
        """The first events of some lane: those of one partition stand behind each other.

        Before each of them the saga may come to stand still, or to go on.
        """
        instance = data.draw(st.sampled_from([each for each in self.instances if each.running]))
        place = data.draw(st.sampled_from(sorted({event.place for event, _ in instance.running})))
        lane = [each for each in instance.running if each[0].place == place]
        for given, flip in zip(lane, flips, strict=False):
            if flip:
                self.tell()
            self.settle(instance, given)
        if commits:
            self.commit()

    def settle(self, instance: Instance, given: tuple[Event, bool]) -> None:
        instance.running.remove(given)
        event, was_parked = given
        parking = instance.parking
        waits = parking.returns(event.key) if was_parked else parking.waits(event.saga, event.place)
        parks = waits or parking.paused(event.saga)
        if parks:
            parking.sent(event.key, event.saga, event.place)
        instance.open.append((event, was_parked, parks))

    @rule()
    def commit(self) -> None:
        for instance in self.instances:
            self.commit_of(instance)

    def commit_of(self, instance: Instance) -> None:
        for event, was_parked, parks in instance.open:
            self.finished.add(event)
            if parks:
                self.parked.append(Written(event.key, event))
            else:
                self.handled.append(event)
                if was_parked:
                    self.parked.append(Written(event.key, None))
        instance.open.clear()

    def teardown(self) -> None:
        self.pauses.append(False)
        self.assign(0, 1)
        for _ in range(20):
            for instance in self.instances:
                self.read(instance, len(self.pauses), len(self.parked))
                self.poll_for(instance, 50)
                while instance.running:
                    self.settle(instance, instance.running[0])
                self.commit_of(instance)
        wanted = [event for events in self.published.values() for event in events]
        assert sorted(self.handled) == sorted(wanted), "lost or doubled"
        for place in PLACES:
            offsets = [event.offset for event in self.handled if event.place == place]
            assert offsets == sorted(offsets), "out of order"
        assert not any(instance.parking.active for instance in self.instances)


Services.TestCase.settings = settings(max_examples=1000, stateful_step_count=50, deadline=None)
TestServices = Services.TestCase
