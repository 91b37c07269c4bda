"""One browser that looks at one page: led from page to page, and kept up to date."""

import logging
from collections.abc import Mapping
from pathlib import Path

from fastapi import Request
from nicegui import Client, ui
from nicegui.events import GenericEventArguments

from saga.core.errors import SagaError
from saga.runtime.kafka import KafkaError
from tracker.access.permit import principal_of
from tracker.dashboard.deeds import do
from tracker.dashboard.desk import Desk
from tracker.dashboard.node import Node, div, h
from tracker.dashboard.page import Page, failed
from tracker.dashboard.pages import page_at
from tracker.dashboard.pages.orphans import orphan_count
from tracker.dashboard.place import Place, place_of
from tracker.dashboard.said import Said
from tracker.dashboard.shell import ENTRIES, freshness_line, rail, top
from tracker.view.queries.freshness import Freshness, freshness
from tracker.view.queries.waiting import waiting

COUNTED_MS = 3_000
"""The counts of the rail are of so long ago at most: they are of all that there is, on every page."""

_log = logging.getLogger(__name__)
_HERE = Path(__file__).parent


class Tree(ui.element, component=_HERE / "tree.js"):
    """A node (`tracker.dashboard.node`), drawn by the browser; only what has changed is sent."""

    def __init__(self, classes: str) -> None:
        super().__init__()
        self.classes(classes)
        self._node: Node | None = None

    def show(self, node: Node, now_ms: int) -> None:
        """Draw this instead; nothing is sent if it is the same."""
        if node == self._node:
            return
        self._node = node
        self._props["tree"] = node
        self._props["now"] = now_ms
        self.update()


class Guide(ui.element, component=_HERE / "guide.js"):
    """The browser's side of `Visit`: the address line, the keys, what is said at the bottom."""

    def tell(self, **props: object) -> None:
        """Set what differs."""
        changed = {name: value for name, value in props.items() if self._props.get(name) != value}
        if changed:
            self._props.update(changed)
            self.update()


class Visit:
    """A page in one browser, on the server."""

    def __init__(self, desk: Desk, request: Request, href: str) -> None:
        self._desk = desk
        self._request = request
        self._place = place_of(href)
        self._principal = principal_of(request)
        self._words = 0
        self._orphans = 0

    async def build(self, client: Client) -> None:
        """Make the elements, with the first picture in them."""
        self.client = client
        with ui.element("div").classes("app"):
            self._rail = Tree("at-rail")
            self._top = Tree("at-top")
            with ui.element("div").classes("at-main"):
                self._fresh = Tree("at-fresh")
                self._main = Tree("at-page")
        self._guide = Guide()
        for tree in (self._rail, self._top, self._main):
            tree.on("act", self._act)
        self._guide.on("go", self._go)
        await self.refresh()

    async def refresh(self) -> None:
        """Ask again, and show what has changed."""
        place = self._place
        page = await self._page(place)
        if place != self._place:
            return  # somebody has gone on meanwhile, and that is under way
        if page.moved:
            self._place = place_of(page.moved)
            page = await self._page(self._place)
        self._draw(page, await self._freshness(), await self._counts())

    async def _freshness(self) -> Freshness | None:
        try:
            return await self._desk.ask("freshness", freshness, self._desk.now_ms)
        except SagaError:
            return None

    async def _counts(self) -> dict[str, int]:
        """What needs somebody, by the path of the page that tells of it."""
        orphans = await orphan_count(self._desk)
        self._orphans = self._orphans if orphans is None else orphans
        reader = self._desk.context.reader
        try:
            found = await self._desk.look(
                "waiting", COUNTED_MS, lambda: reader.ask(waiting, self._desk.now_ms)
            )
        except SagaError:
            found = None
        counts = {"/orphans": self._orphans}
        if found is not None:
            counts |= {"/sagas": found.stuck, "/alerts": found.alerts, "/dead-letters": found.dead_letters}
        return counts

    async def _page(self, place: Place) -> Page:
        try:
            return await page_at(self._desk, place, self._principal)
        except SagaError as error:
            return failed(str(error))
        except Exception:
            # Whatever it is, it must not leave a page that looks as if it were up to date.
            _log.exception("the page %r failed", place.path)
            return failed("The server failed: its log says why.")

    def _draw(self, page: Page, fresh: Freshness | None, counts: Mapping[str, int]) -> None:
        now_ms = self._desk.now_ms
        self._rail.show(rail(self._place.path, ENTRIES, counts), now_ms)
        self._top.show(top(page.search, self._principal), now_ms)
        self._fresh.show(
            div("at-freshness", _CUT_OFF, freshness_line(fresh)),
            now_ms,
        )
        # Another page has nothing of the old in it, not even what was typed.
        self._main.show(div("shown", page.body, key=page.key or self._place.href), now_ms)
        self._guide.tell(href=self._place.href, title=f"{page.title} · saga")

    async def _go(self, event: GenericEventArguments) -> None:
        href = event.args.get("href") if isinstance(event.args, Mapping) else None
        if isinstance(href, str):
            self._place = place_of(href)
            await self.refresh()

    async def _act(self, event: GenericEventArguments) -> None:
        asked = event.args if isinstance(event.args, Mapping) else {}
        fields = asked.get("fields")
        fields = fields if isinstance(fields, Mapping) else {}
        texts = {str(name): value for name, value in fields.items() if isinstance(value, str)}
        try:
            said = await do(self._desk.context, self._request, str(asked.get("name")), texts)
        except (SagaError, KafkaError) as error:
            said = Said(f"Not done: {error}", done=False)
        self.say(said)
        if said.done and isinstance(form := asked.get("form"), str):
            event.sender.run_method("settle", form)
        self._desk.forget()
        await self.refresh()

    def say(self, said: Said) -> None:
        """A word at the bottom of the window."""
        self._words += 1
        self._guide.tell(word=[self._words, said.text, said.secret])


_CUT_OFF: Node = h(
    "div",
    {"class": "banner cut", "role": "alert"},
    "No connection to the dashboard: what you see is old. It is tried again and again.",
)
