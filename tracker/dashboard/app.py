"""The pages as a part of the application that serves the REST API."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from fastapi import FastAPI, Request
from nicegui import app as nicegui_app
from nicegui import ui

from saga.core.errors import SagaError
from tracker.api.context import Context
from tracker.dashboard.desk import Desk
from tracker.dashboard.settings import PageSettings
from tracker.dashboard.visit import Visit

REFRESH_SECONDS_MIN, REFRESH_SECONDS_MAX = 0.5, 2.0
"""Pages are drawn anew as soon as something changes, and now and then as time passes; but no more often, and
with half of the time at most, however many there are.
"""
PAGE_SECONDS_MAX = 15.0
RECONNECT_SECONDS_MAX = 10.0
"""So long a page may be cut off before it is loaded anew; a busy machine takes seconds to answer a ping."""

_log = logging.getLogger(__name__)
_STYLE = Path(__file__).with_name("style.css")
# Before anything is drawn, or a dark page would flash white.
_THEME = """<script>
document.documentElement.dataset.theme = localStorage.getItem("saga-theme")
  ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
</script>"""


def mount_pages(app: FastAPI, context: Context, settings: PageSettings) -> None:
    """Serve the pages at every path that the application does not know. Once a process."""
    desk = Desk(context, settings.trace_url)
    visits: set[Visit] = set()
    style = f"<style>{_STYLE.read_text()}</style>"

    async def page(request: Request) -> None:
        ui.add_head_html(_THEME + style)
        query = f"?{request.url.query}" if request.url.query else ""
        visit = Visit(desk, request, request.url.path + query)
        client = ui.context.client
        await visit.build(client)
        visits.add(visit)
        client.on_delete(lambda: visits.discard(visit))

    ui.page("/", response_timeout=PAGE_SECONDS_MAX)(page)
    ui.page("/{path:path}", response_timeout=PAGE_SECONDS_MAX)(page)
    nicegui_app.on_startup(lambda: _keep(desk, visits))
    ui.run_with(
        app,
        title="saga",
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
        message_history_length=0,
        reconnect_timeout=RECONNECT_SECONDS_MAX,
    )


async def _keep(desk: Desk, visits: Iterable[Visit]) -> None:
    """Refresh what somebody looks at, for as long as the server runs."""
    changed = asyncio.Event()
    following = asyncio.create_task(_follow(desk, changed))
    refreshing: dict[Visit, asyncio.Task[None]] = {}
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), REFRESH_SECONDS_MAX)
            changed.clear()
            desk.forget()
            began = time.monotonic()
            for visit in visits:
                if visit.client.has_socket_connection and visit not in refreshing:
                    refreshing[visit] = asyncio.create_task(_refresh(visit))
            if refreshing:  # a page that takes its time holds up no other one
                await asyncio.wait(refreshing.values(), timeout=REFRESH_SECONDS_MAX)
            refreshing = {visit: task for visit, task in refreshing.items() if not task.done()}
            await asyncio.sleep(max(REFRESH_SECONDS_MIN, time.monotonic() - began))
    finally:
        for task in (following, *refreshing.values()):
            task.cancel()


async def _follow(desk: Desk, changed: asyncio.Event) -> None:
    """Have it told when something changes. Without that pages are refreshed all the same, only later."""
    while True:
        try:
            async for _ in desk.context.live.changes():
                changed.set()
        except Exception as error:
            _log.warning("changes can't be followed: %s", error, exc_info=not isinstance(error, SagaError))
        await asyncio.sleep(REFRESH_SECONDS_MAX)


async def _refresh(visit: Visit) -> None:
    try:
        with visit.client:
            await visit.refresh()
    except Exception:
        _log.exception("a page could not be refreshed")
