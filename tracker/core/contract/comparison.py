"""The expected map beside the discovered one: declared but never seen, seen but undeclared."""

from typing import NamedTuple

from tracker.core.cloudevent import SOURCE
from tracker.core.contract.expected import Edge, ExpectedMap
from tracker.core.contract.traffic import At, Traffic


class Comparison(NamedTuple):
    """Where the maps differ, all of it sorted.

    What the tracker publishes is not among the edges: it publishes what some version of the flow file says.
    A type that nobody publishes shows what the flow never needed: an undo command, mostly.
    """

    unseen_types: tuple[str, ...] = ()
    unseen_handlers: tuple[At, ...] = ()
    unseen_edges: tuple[Edge, ...] = ()
    undeclared_types: tuple[str, ...] = ()
    undeclared_handlers: tuple[At, ...] = ()
    undeclared_edges: tuple[Edge, ...] = ()

    @property
    def equal(self) -> bool:
        return not any(self)


def compare(expected: ExpectedMap, traffic: Traffic) -> Comparison:
    """Hold what sagas did against what was declared; nothing differs where nothing was declared."""
    if not expected.declared:
        return Comparison()
    seen_types = set(traffic.events)
    seen_edges = {edge for edge in traffic.edges if edge.service != SOURCE}
    begun = set(traffic.begun)
    begun_types = {effect for _, effect in begun}
    seen_at = {at for at in traffic.answers if at.service}
    seen_at |= set(traffic.failed)
    edges = {edge for edge in expected.edges if edge.service != SOURCE}
    declared_at = {
        At(name, handler.service) for name, handlers in expected.handlers.items() for handler in handlers
    }
    return Comparison(
        tuple(sorted(expected.known - seen_types - begun_types)),
        tuple(sorted(declared_at - seen_at)),
        tuple(sorted(edge for edge in edges - seen_edges if (edge.cause, edge.effect) not in begun)),
        tuple(sorted(seen_types - expected.known)),
        tuple(sorted(seen_at - declared_at)),
        tuple(sorted(edge for edge in seen_edges - edges if edge.effect not in expected.free)),
    )
