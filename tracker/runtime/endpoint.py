"""HTTP for machines that watch a process: `/metrics`, `/healthz`, `/readyz`.

Served by the event loop that does the work: if that hangs, no answer comes, and that is the answer.
"""

import logging
from collections.abc import Callable

from aiohttp import web

from saga.core.errors import DeclarationError
from tracker.runtime.metrics import Exposition

logger = logging.getLogger(__name__)


class Endpoint:
    """Listens while it is entered; with port 0 not at all. `unready` says why it is not, "" if it is."""

    def __init__(self, host: str, port: int, metrics: Exposition, unready: Callable[[], str]) -> None:
        self._host, self._port = host, port
        self._metrics = metrics
        self._unready = unready
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._scraped),
                web.get("/healthz", self._alive),
                web.get("/readyz", self._readiness),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> "Endpoint":
        """Begin to listen.

        Raises
        ------
        DeclarationError
            The address can't be listened on.
        """
        if not self._port:
            return self
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise DeclarationError(
                f"metrics can't be served at {self._host}:{self._port}: {error.strerror}. Give this process "
                "a port of its own (SAGA_METRICS_PORT), or 0 for none"
            ) from error
        logger.info("metrics at http://%s:%d/metrics", self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _scraped(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.encoded(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _alive(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readiness(self, _: web.Request) -> web.Response:
        if why := self._unready():
            return web.Response(status=503, text=f"not ready: {why}\n")
        return web.Response(text="ready\n")
