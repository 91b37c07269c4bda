"""What sagas are read by besides their own bytes: who is subscribed to what, and the flows."""

import asyncio
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import json

from saga.core.receipt import ServiceAnnouncement
from saga.runtime.settings import KafkaSettings
from tracker.core.chain import begin_type
from tracker.core.contract.expected import ExpectedMap, expected_map
from tracker.core.flow import Flow, Flows
from tracker.core.saga import Saga
from tracker.core.subscriptions import Subscriptions
from tracker.view.changelog import read_announcements
from tracker.view.registry import read_registry

_MAPS_MAX = 1_000


@dataclass(frozen=True)
class Known:
    """Services and flows, as Kafka tells of them at one time."""

    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    flows: Flows = field(default_factory=Flows)
    announcements: tuple[ServiceAnnouncement, ...] = ()
    ways: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What follows from these for a way of sagas, as whoever works it out keeps it here."""
    kept: WeakKeyDictionary[Any, Any] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )
    """By database what follows from these for the sagas that are in it, as whoever finds it out keeps it."""
    _maps: dict[tuple[str, str, int], ExpectedMap] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def flow_of(self, saga: Saga) -> Flow | None:
        """The flow that the saga follows, in its version; None if it has none or that is not known."""
        if saga.course is None:
            return None
        return self.flows.get(saga.course.flow, saga.course.flow_version)

    def undo_words(self, saga: Saga) -> frozenset[str]:
        """The types that are not on the way of the saga, but on the way back; none without a flow."""
        flow = self.flow_of(saga)
        return frozenset() if flow is None else flow.undo_words

    def expected(self, saga: Saga) -> ExpectedMap:
        """What the saga may consist of. Made once for each flow and each type of first event."""
        flow = self.flow_of(saga)
        key = ("", flow.name, flow.version) if flow is not None else (begin_type(saga), "", 0)
        found = self._maps.get(key)
        if found is None:
            if len(self._maps) >= _MAPS_MAX:
                self._maps.clear()
            begins = flow.begins if flow is not None else key[0]
            found = self._maps[key] = expected_map(begins, self.subscriptions, flow)
        return found

    def schemas_of(self, event_type: str, version: int) -> list[dict[str, Any]]:
        """The JSON Schemas that services announce of such events; one may announce another than the next."""
        return [
            each.schema
            for announced in self.announcements
            for each in announced.events
            if (each.type, each.version) == (event_type, version)
        ]

    def same(self, other: "Known") -> bool:
        """Whether sagas read the same by the other one."""
        return self.subscriptions == other.subscriptions and _texts(self.flows) == _texts(other.flows)

    def digest(self) -> str:
        """The same for all, in whatever process, by which sagas read the same."""
        texts = sorted(_texts(self.flows).items())
        told = json.encode((self.subscriptions.told, texts), order="deterministic")
        return sha256(told).hexdigest()


async def read_known(settings: KafkaSettings) -> Known:
    """What stands in Kafka now; nothing of what nobody has announced or published yet."""
    announced, registry = await asyncio.gather(read_announcements(settings), read_registry(settings))
    return Known(Subscriptions(announced), registry.flows, tuple(announced))


def _texts(flows: Flows) -> dict[tuple[str, int], str]:
    return {(flow.name, flow.version): flow.source for flow in flows}
