"""A consumer group: members, generations, rebalances, committed offsets. The broker's side of it.

Eager, as aiokafka's consumers are: at a rebalance every member gives up what it has, and only when all
have done so, or are thrown out, are the partitions dealt out anew.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from saga.runtime.kafka import CommitFailedError, TopicPartition
from tests.simulation.loop import Process, SimulatedLoop

REBALANCE_MS_MAX = 6_000
_HEARTBEAT_MS = 400

Jitter = Callable[[str, int], int]
"""A number below the second argument that follows from the plan and the name."""


class Member(Protocol):
    """A consumer in its process."""

    name: str
    process: Process

    def begin_rejoin(self) -> None:
        """Give up what you have, then `joined`. Called in its process."""

    def assign(self, generation: int, partitions: frozenset[TopicPartition]) -> None:
        """These are yours in this generation. Called in its process."""


class Group:
    """`expelled` members learn of it when they next ask for something, or by their heartbeat."""

    def __init__(
        self,
        loop: SimulatedLoop,
        name: str,
        sources: Callable[[], Iterable[TopicPartition]],
        session_ms: int,
        jitter: Jitter,
    ) -> None:
        self._loop = loop
        self._name = name
        self._sources = sources
        self._session_ms = session_ms
        self._jitter = jitter
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.committed: dict[TopicPartition, int] = {}
        self.on_commit: Callable[[Mapping[TopicPartition, int]], None] = lambda offsets: None
        self._waited_for: set[str] = set()
        self._joined: set[str] = set()
        self.rebalancing = False
        self.on_deal: Callable[[str], None] = lambda text: None
        self._closed: set[str] = set()
        self._handed: dict[str, int] = {}
        self._silent_since: dict[str, int] = {}

    def join(self, member: Member) -> None:
        """A new member, or one that was thrown out."""
        if not member.process.alive or member.name in self._closed:
            return  # it has ended since it asked
        self.members[member.name] = member
        self._joined.add(member.name)
        self.rebalance()

    def joined(self, member: Member) -> None:
        """A member has given up what it had."""
        if not member.process.alive or member.name in self._closed:
            return  # and is dead: it is thrown out in its time
        if member.name not in self.members:
            self.join(member)
            return
        self._joined.add(member.name)
        if not self.rebalancing:
            self.rebalance()
        self._deal_if_all()

    def close(self, member: Member) -> None:
        """It has said goodbye: what it sent before and comes now counts no longer."""
        self._closed.add(member.name)
        self.leave(member)

    def leave(self, member: Member) -> None:
        """It is gone, or was not heard of for too long."""
        if self.members.get(member.name) is member:
            del self.members[member.name]
            self._joined.discard(member.name)
            self.rebalance()

    def rebalance(self) -> None:
        """Have all give up what they have."""
        if self.rebalancing:
            self._deal_if_all()
            return
        self.rebalancing = True
        self.generation += 1
        self._loop.outside(REBALANCE_MS_MAX, self._late, self.generation)
        for member in list(self.members.values()):
            if member.name not in self._joined:
                self._notify(member)
        self._loop.outside(1, self._deal_if_all)

    def silent(self, process: Process) -> None:
        """Nothing is heard of a process from now on; see whether that lasts for a session."""
        for member in list(self.members.values()):
            if member.process is process:
                self._silent_since[member.name] = self._loop.now_ms
                self._loop.outside(self._session_ms, self._expire, member, self._loop.now_ms)

    def heartbeat(self, member: Member, generation: int) -> bool:
        """Whether the member is one, in the generation that it thinks."""
        return self.members.get(member.name) is member and generation == self.generation - self.rebalancing

    def commit(self, member: Member, generation: int, offsets: Mapping[TopicPartition, int]) -> None:
        """Take over offsets from whoever is in this generation.

        While members give up what they have, those of the generation before may still commit: Kafka
        refuses only once the new generation is there.
        """
        current = generation == self.generation - self.rebalancing
        if self.members.get(member.name) is not member or not current:
            raise CommitFailedError("the group has gone on")
        self.on_commit(offsets)
        self.committed.update(offsets)

    def _expire(self, member: Member, since_ms: int) -> None:
        process = member.process
        if self._silent_since[member.name] != since_ms:
            return  # it was heard of meanwhile
        if not process.alive or process.paused is not None:
            self.leave(member)
            # If it goes on, it learns of it by its next heartbeat.
            self._notify(member)

    def _hand(self, member: Member, generation: int, partitions: frozenset[TopicPartition]) -> None:
        self._handed[member.name] = generation
        member.assign(generation, partitions)
        self._loop.inside(member.process, _HEARTBEAT_MS, self._beat, member, generation)

    def _beat(self, member: Member, generation: int) -> None:
        if self._handed[member.name] == generation and not self.heartbeat(member, generation):
            member.begin_rejoin()

    def _notify(self, member: Member) -> None:
        delay_ms = self._jitter(f"{self._name} {member.name} {self.generation}", _HEARTBEAT_MS)
        process = member.process
        self._loop.inside(process, delay_ms, lambda: self._loop.inside(process, 0, member.begin_rejoin))

    def _late(self, generation: int) -> None:
        if self.rebalancing and generation == self.generation:
            for name in [name for name in self.members if name not in self._joined]:
                del self.members[name]
            self._deal_if_all()

    def _deal_if_all(self) -> None:
        if not self.rebalancing or not self._joined.issuperset(self.members):
            return
        self.rebalancing = False
        self._joined.clear()
        names = sorted(self.members)
        sources = sorted(self._sources())
        shift = self._jitter(f"{self._name} deal {self.generation}", 97)
        for index, name in enumerate(names):
            mine = [s for number, s in enumerate(sources) if (number + shift) % len(names) == index]
            member = self.members[name]
            self._loop.inside(member.process, 2, self._hand, member, self.generation, frozenset(mine))
            self.on_deal(f"{name} has {', '.join(f'{topic}-{number}' for topic, number in mine)}")
