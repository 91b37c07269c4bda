"""Flows, and what is in flight, as the API of a `saga dashboard` tells them."""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable

from msgspec import structs

from tracker.cli.freshness import Fresh
from tracker.cli.remote import Answer, ServerUnreachable, remote, segment
from tracker.cli.remote_freshness import tell_stale
from tracker.view.documents.flow import FunnelDocument, MapDocument, VariantsDocument
from tracker.view.documents.watch import WatchDocument

_VARIANTS_MAX = 1_000
_OLDEST_MAX = 200
_EVER = {"from": "1970-01-01T00:00:00Z"}
"""Without it the server tells of those that ended in the last days."""


async def flow_funnel(url: str, flow: str) -> tuple[FunnelDocument, Fresh]:
    """How far the sagas of a flow have come, and how fresh that is."""
    return await _of_flow(url, flow, "funnel", FunnelDocument)


async def flow_map(url: str, flow: str) -> tuple[MapDocument, Fresh]:
    """The map of a flow, and how fresh that is."""
    return await _of_flow(url, flow, "map", MapDocument)


async def flow_variants(url: str, flow: str, limit: int) -> VariantsDocument:
    """The ways of a flow, 1,000 of them at most."""
    most = min(limit or _VARIANTS_MAX, _VARIANTS_MAX)
    async with remote(url) as server:
        told = await server.get(f"flows/{segment(flow)}/variants", VariantsDocument, {**_EVER, "limit": most})
    return structs.replace(told, ended_from=None, ended_until=None)


async def watch_flows(
    url: str, interval: float, oldest: Callable[[], int]
) -> AsyncGenerator[WatchDocument, None]:
    """What is in flight, as soon as something has changed, and no more often than every `interval` seconds.

    While nothing changes the pictures come all the same, since ages and deadlines go on. While the server
    does not answer any more, the last one does, and says how old it is.
    """
    last: tuple[WatchDocument, float] | None = None
    async with remote(url) as server, contextlib.aclosing(server.beats(interval)) as beats:
        async for _ in beats:
            most = min(max(1, oldest()), _OLDEST_MAX)
            try:
                told = await server.get("watch", WatchDocument, {"oldest": most})
            except ServerUnreachable:
                if last is None:
                    raise
                before, at = last
                if before.as_of_ms_ago is not None:
                    age_ms = before.as_of_ms_ago + round((time.monotonic() - at) * 1000)
                    before = structs.replace(before, as_of_ms_ago=age_ms)
                yield before
                continue
            last = told, time.monotonic()
            yield told


async def _of_flow(url: str, flow: str, what: str, kind: type[Answer]) -> tuple[Answer, Fresh]:
    async with remote(url) as server:
        told = await server.get(f"flows/{segment(flow)}/{what}", kind, _EVER)
        found = await tell_stale(server)
        return told, Fresh(None if found.as_of is None else found.age_ms)
