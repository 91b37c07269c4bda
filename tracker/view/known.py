"""What sagas are read by besides their own bytes: who is subscribed to what, and the flows."""

import asyncio
from typing import NamedTuple

from saga.runtime.settings import KafkaSettings
from tracker.core.flow import Flow, Flows
from tracker.core.saga import Saga
from tracker.core.subscriptions import Subscriptions
from tracker.view.changelog import read_subscriptions
from tracker.view.registry import read_registry


class Known(NamedTuple):
    """Services and flows, as Kafka tells of them at one time."""

    subscriptions: Subscriptions = Subscriptions()
    flows: Flows = Flows()

    def flow_of(self, saga: Saga) -> Flow | None:
        """The flow that the saga follows, in its version; None if it has none or that is not known."""
        if saga.course is None:
            return None
        return self.flows.get(saga.course.flow, saga.course.flow_version)

    def same(self, other: "Known") -> bool:
        """Whether sagas read the same by the other one."""
        return self.subscriptions == other.subscriptions and _texts(self.flows) == _texts(other.flows)


async def read_known(settings: KafkaSettings) -> Known:
    """What stands in Kafka now; nothing of what nobody has announced or published yet."""
    subscriptions, registry = await asyncio.gather(read_subscriptions(settings), read_registry(settings))
    return Known(subscriptions, registry.flows)


def _texts(flows: Flows) -> dict[tuple[str, int], str]:
    return {(flow.name, flow.version): flow.source for flow in flows}
