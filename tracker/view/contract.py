"""The sagas of one flow beside what was declared for them, read from the saga table at one time."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches

from saga.core.errors import SagaError
from saga.runtime.settings import KafkaSettings
from tracker.core.contract.comparison import Comparison, compare
from tracker.core.contract.expected import Edge, ExpectedMap, expected_map
from tracker.core.contract.funnel import Stage, funnel
from tracker.core.contract.stuck import stuck
from tracker.core.contract.traffic import Traffic, edges_of, passage
from tracker.core.errors import UnreadableSaga
from tracker.core.flow import Flow
from tracker.core.saga import decode_saga
from tracker.core.status import Status
from tracker.view.changelog import open_changelog
from tracker.view.clocks import worst
from tracker.view.known import Known, read_known
from tracker.view.row import Row, row_of


class UnknownFlow(SagaError):
    """No flow has this name, no saga begins with such an event, and no service knows it."""


@dataclass
class FlowContract:
    """All sagas of a flow, or all that begin with one type of event.

    Attributes
    ----------
    name : as it was asked for.
    begins : the type of the first event.
    flow : its newest version; None for sagas of no flow file.
    in_flight : how many sagas are; `rows` are these, as far as they were read.
    took_in_flight : by edge how many of them took it.
    as_of_ms : all that was written up to then is in it, milliseconds since the epoch.
    written_ms : when the newest change was written, of whatever flow; 0 without any.
    unreadable : records that could not be read.
    """

    name: str
    begins: str
    flow: Flow | None
    known: Known
    traffic: Traffic = field(default_factory=Traffic)
    in_flight: int = 0
    took_in_flight: Counter[Edge] = field(default_factory=Counter)
    rows: list[Row] = field(default_factory=list)
    as_of_ms: int = 0
    written_ms: int = 0
    unreadable: int = 0

    def take(self, values: Iterable[bytes]) -> None:
        """Count the sagas among these that are of the flow; each must be given once."""
        for value in values:
            try:
                saga = decode_saga(value)
            except UnreadableSaga:
                self.unreadable += 1
                continue
            if saga.joined:
                continue  # it is counted as the one that it belongs to
            row = row_of(saga, self.known)
            if self.name in (row.flow, row.begins):
                self.traffic.add(passage(saga, row.status, self.known.undo_words(saga)))
                if row.in_flight:
                    self.in_flight += 1
                    self.took_in_flight.update(edges_of(saga))
                    self.rows.append(row)

    @property
    def expected(self) -> ExpectedMap:
        """What was declared; what begins sagas of its own is the end of the map."""
        begun = set(self.traffic.begun)
        return expected_map(self.begins, self.known.subscriptions, self.flow, begun)

    @property
    def comparison(self) -> Comparison:
        """Where sagas and declarations differ."""
        return compare(self.expected, self.traffic)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The funnel."""
        return funnel(self.traffic, self.expected)

    def overdue(self, now_ms: int) -> Counter[str]:
        """By stage how many sagas in flight have passed a deadline that they have not met."""
        return Counter(row.where for row in self.rows if worst(row.clocks, now_ms) == "overdue")

    def stuck(self, now_ms: int) -> Counter[str]:
        """By stage how many wait much longer than others did, or for an operator."""
        return Counter(row.where for row in self.rows if self._stuck(row, now_ms))

    def _stuck(self, row: Row, now_ms: int) -> bool:
        if row.status is Status.STUCK:
            return True
        flow = self.known.flows.get(row.flow, row.flow_version)
        return bool(stuck((), row.waits, flow, self.traffic.answers, now_ms))


async def read_contract(settings: KafkaSettings, name: str) -> FlowContract:
    """The sagas of the flow `name`, or all that begin with events of this type.

    Raises
    ------
    NothingTracked
        There is no saga table.
    UnknownFlow
        Nobody has ever heard of it. The message tells the nearest names.
    """
    known = await read_known(settings)
    flow = known.flows.newest(name) or known.flows.beginning(name)
    found = FlowContract(name, name if flow is None else flow.begins, flow, known)
    newest: dict[str, bytes] = {}
    async with open_changelog(settings) as changelog:
        async for changes in changelog.to_end():
            for change in changes:
                found.written_ms = max(found.written_ms, change.at_ms)
                if change.value is None:
                    newest.pop(change.saga, None)
                else:
                    newest[change.saga] = change.value
    found.as_of_ms = time.time_ns() // 1_000_000
    found.take(newest.values())
    if flow is None and not found.traffic.sagas and not found.expected.declared:
        names = sorted(set(_names(known)))
        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UnknownFlow(
            f"no flow {name}, and no event of this type begins a saga: {hint}saga flows lists flows"
        )
    return found


def _names(known: Known) -> Iterator[str]:
    for flow in known.flows:
        yield from (flow.name, flow.begins)
    yield from known.subscriptions.unprompted
