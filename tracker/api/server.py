"""Serve an application over HTTP."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from saga.core.errors import SagaError
from tracker.view.queries.live import Live

STOP_SECONDS = 5
"""So long requests may go on once it is to stop."""

KEEP_SECONDS = 75
"""So long a connection is kept that nobody uses: a client that uses it while it is closed sees an error."""


class AddressUnavailable(SagaError):
    """Nothing can listen there. The message says why."""


async def serve(
    app: FastAPI, live: Live, host: str, port: int, started: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Listen until `stop` is set; `started` gets the address of it all, as a browser wants it.

    Whoever follows `live` is told the end first: streams never end by themselves.

    Raises
    ------
    AddressUnavailable
        Another program listens there, or the address is none of this machine.
    """
    listening = _listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = _Server(config)
    shown = f"[{host}]" if ":" in host else host
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    try:
        started(f"http://{shown}:{listening.getsockname()[1]}")
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await live.end()
        await serving


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for whoever runs it: uvicorn would end the process with them before all is closed."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(socket.SOMAXCONN)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise AddressUnavailable(f"nothing can listen at {host}:{port}: {error.strerror or error}") from error
    return listening
