"""A real HTTP server that receives webhooks and answers as a test tells it to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Answer = tuple[int, dict[str, str]]
OK: Answer = (204, {})


@dataclass
class HttpReceiver:
    """What has come so far. `answer` is given the event and how often it came, counted from 1."""

    url: str = ""
    answer: Callable[[dict[str, object], int], Answer] = lambda event, times: OK
    delay_seconds: float = 0.0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, body))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await asyncio.sleep(self.delay_seconds)
        finally:
            self.busy -= 1
        event = json.loads(body)
        status, headers = self.answer(event, self.ids.count(event["id"]))
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def receiver(**how: object) -> AsyncIterator[HttpReceiver]:
    """A receiver on a free port of this machine."""
    found = HttpReceiver(**how)  # type: ignore[arg-type]
    app = web.Application()
    app.router.add_post("/hook", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield found
    finally:
        await runner.cleanup()
