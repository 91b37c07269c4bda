"""/api/v1/live: what changes, as server-sent events.

Each event has the revision of the read model as its id: a client that comes again with `Last-Event-ID`
misses nothing. One that does not read is cut off; what waits for it until then is bounded.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from msgspec import json, structs
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tracker.api.context import Asked
from tracker.api.parameters import TEXT_MAX
from tracker.view.queries.live import SagaChange, Told

BEAT_SECONDS = 10.0
SEND_SECONDS = 30.0
"""A client that takes nothing for so long is cut off."""

router = APIRouter(tags=["live"])

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_DESCRIPTION = (
    "Server-sent events: `sagas` has those that changed and the ids of those that were removed, `reset` "
    "says that it is not known what changed, so that all has to be asked for anew. The id of each is the "
    "revision that it leads to; the first event has none but that."
)


@router.get(
    "/live",
    response_model=None,
    response_class=Response,
    responses={200: {"description": _DESCRIPTION, "content": {"text/event-stream": {}}}},
)
async def live(
    context: Asked,
    flow: Annotated[
        str | None, Query(max_length=TEXT_MAX, description="Only of this flow or first event.")
    ] = None,
    saga: Annotated[str | None, Query(max_length=TEXT_MAX, description="Only the saga with this id.")] = None,
    last_event_id: Annotated[int | None, Header(ge=0, lt=2**63)] = None,
) -> Response:
    """Changes of sagas as they happen."""
    changes = context.live.changes(last_event_id)
    # The first one here, so that a refusal is answered as such.
    first = await anext(changes)

    def takes(change: SagaChange) -> bool:
        return (flow is None or flow in (change.flow, change.begins)) and (saga is None or change.id == saga)

    async def lines() -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(changes), contextlib.aclosing(_with_beats(changes)) as beating:
            yield _event(first)
            async for told in beating:
                if told is None:
                    yield b":\n\n"
                    continue
                removed = tuple(id_ for id_ in told.removed if saga is None or id_ == saga)
                yield _event(structs.replace(told, sagas=tuple(filter(takes, told.sagas)), removed=removed))

    return EventStream(lines())


class EventStream(Response):
    """Sends what it is given until that ends, or the client goes or takes nothing any more."""

    def __init__(self, lines: AsyncGenerator[bytes, None], send_seconds: float = SEND_SECONDS) -> None:
        super().__init__(headers=_HEADERS, media_type="text/event-stream")
        del self.headers["content-length"]
        self._lines = lines
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, gone):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, TimeoutError, OSError):
                    await task

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with contextlib.aclosing(self._lines) as lines:
            async for line in lines:
                async with asyncio.timeout(self._send_seconds):
                    await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _with_beats(changes: AsyncGenerator[Told, None]) -> AsyncGenerator[Told | None, None]:
    """The changes; None where there were none for a while."""
    next_ = asyncio.ensure_future(anext(changes))
    try:
        while True:
            done, _ = await asyncio.wait({next_}, timeout=BEAT_SECONDS)
            if not done:
                yield None
                continue
            try:
                told = next_.result()
            except StopAsyncIteration:
                return
            yield told
            next_ = asyncio.ensure_future(anext(changes))
    finally:
        next_.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await next_


def _event(told: Told) -> bytes:
    """JSON has no line breaks of its own, so that nothing in it can be taken for another event."""
    id_ = b"id: %d\n" % told.revision
    if not told.complete:
        return id_ + b'event: reset\ndata: {"revision":%d}\n\n' % told.revision
    if not told.sagas and not told.removed:
        return id_ + b"\n"
    data = {"revision": told.revision, "sagas": told.sagas, "removed": told.removed}
    return id_ + b"event: sagas\ndata: " + json.encode(data) + b"\n\n"
