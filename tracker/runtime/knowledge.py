"""What sagas are judged by besides their facts: the flows and the services, as they are known now."""

import time
from typing import Protocol

from tracker.core.advance import World
from tracker.core.correlation import Rules
from tracker.core.flow import Flows
from tracker.core.retention import Retention
from tracker.runtime.announcements import Announcements

_RETENTION = Retention()


class FlowSource(Protocol):
    """Where the flows come from."""

    @property
    def flows(self) -> Flows:
        """All flows that are known now; another object when that changes."""

    @property
    def rules(self) -> Rules:
        """The correlation rules that are known now; another object when that changes."""

    async def ready(self) -> None:
        """Wait until all are known that were published before the start."""


class Knowledge:
    """Flows and services in one, and how long sagas are kept."""

    def __init__(
        self, announcements: Announcements, flows: FlowSource, retention: Retention = _RETENTION
    ) -> None:
        self._announcements = announcements
        self._flows = flows
        self._retention = retention

    async def ready(self) -> None:
        """Wait until all is known that was there at the start: no saga may be judged by half of it."""
        await self._announcements.ready()
        await self._flows.ready()

    def payloads(self) -> frozenset[str]:
        """The event types whose payload a flow needs."""
        return self._flows.flows.payloads

    def rules(self) -> Rules:
        """The correlation rules of topics without our headers."""
        return self._flows.rules

    def world(self) -> World:
        """The world at this moment."""
        wall_ms = time.time_ns() // 1_000_000
        return World(self._flows.flows, self._announcements.subscriptions, wall_ms, self._retention)
