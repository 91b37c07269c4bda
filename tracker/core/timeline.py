"""The events of a saga by type and time, for rules that ask when something came."""

from collections.abc import Iterable, Iterator
from itertools import chain

from tracker.core.saga import Saga, Seen, Step, marked


class Timeline:
    """What is asked again and again of one state of a saga, found once."""

    def __init__(self, saga: Saga) -> None:
        self.steps = saga.steps
        """Those of which all is known; a saga of very many events has only some (`Saga.sample`)."""
        self.sample = saga.sample
        self._marked = {} if saga.sample is None else marked(saga)
        self.root: str | None = None
        """Id of the event that began the saga; None until it has been read."""
        first: Seen | None = None
        by_type: dict[str, list[tuple[int, str]]] = {}
        for event, step in chain(saga.steps.items(), self._marked.items()):
            seen = step.seen
            if seen is not None:
                by_type.setdefault(seen.type, []).append((seen.time_ms, event))
                if not seen.cause and (first is None or seen < first):
                    first, self.root = seen, event
        for events in by_type.values():
            if len(events) > 1:
                events.sort()
        self.by_type = by_type
        """Time and id of the events of each type, oldest first."""

    def has(self, types: Iterable[str]) -> bool:
        """Whether there is an event of any of these types."""
        return not self.by_type.keys().isdisjoint(types)

    def of(self, *types: str) -> list[tuple[int, str]]:
        """Time and id of the events of these types, oldest first."""
        if len(types) == 1:
            return self.by_type.get(types[0], [])
        found = [event for name in types for event in self.by_type.get(name, ())]
        if len(found) > 1:
            found.sort()
        return found

    def times(self) -> list[int]:
        """The times of all events, oldest first."""
        return sorted(time_ms for events in self.by_type.values() for time_ms, _ in events)

    def step(self, event: str) -> Step:
        return self.steps.get(event) or self._marked[event]

    def known(self, event: str) -> Step | None:
        """The same; None if the saga has no such event, or it is beyond its limit."""
        return self.steps.get(event) or self._marked.get(event)

    def moment(self, event: str) -> tuple[int, int]:
        """When an event came, for the order of events: never before its causes, whatever their clocks say."""
        causes = list(self.causes(event))
        times = [
            step.seen.time_ms for known in (event, *causes) if (step := self.step(known)).seen is not None
        ]
        return max(times, default=0), len(causes)

    def causes(self, event: str) -> Iterator[str]:
        """The causes of an event that are among the steps: its own, that one's, and so on."""
        passed = {event}
        step = self.known(event)
        while step is not None and step.seen is not None and step.seen.cause not in passed:
            cause = step.seen.cause
            step = self.known(cause)
            if step is not None:
                passed.add(cause)
                yield cause
