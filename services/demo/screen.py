"""What the demo shows: the picture of `saga watch`, and below it the chain of each order."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from rich.console import Console, Group, RenderableType
from rich.live import Live as LiveScreen
from rich.text import Text

from services.demo.book import Book
from tracker.cli.watch import picture
from tracker.view.documents.watch import watch_document

_REFRESH_SECONDS = 0.5
_NEW_LINES_MAX = 6
"""Lines that come up at a time: more can't be read, and are left out."""
_OTHER_LINES = 4
_WATCH_SHARE = 1 / 3
_WATCH_LINES_MIN = 8
_LINES_KEPT = 200


async def draw(console: Console, book: Book, head: str, check: Callable[[], None]) -> NoReturn:
    """Draw on the whole terminal until cancelled, or until `check` raises."""
    shown: deque[Text] = deque(maxlen=_LINES_KEPT)
    with LiveScreen(console=console, screen=True, auto_refresh=False) as screen:
        while True:
            check()
            screen.update(_picture(console, book, head, shown), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


async def tell(console: Console, book: Book, check: Callable[[], None]) -> NoReturn:
    """Print the chain of each order that ends, until cancelled, or until `check` raises."""
    while True:
        check()
        book.settle(_now_ms())
        while book.lines:
            console.print(book.lines.popleft(), soft_wrap=True)
        await asyncio.sleep(_REFRESH_SECONDS)


def _picture(console: Console, book: Book, head: str, shown: deque[Text]) -> RenderableType:
    now_ms = _now_ms()
    book.settle(now_ms)
    new = list(book.lines)
    book.lines.clear()
    shown.extend(_chosen(new))
    # Always as high, so that what is below it stays where it is.
    height = max(_WATCH_LINES_MIN, int(console.height * _WATCH_SHARE))
    told = watch_document(book.live, now_ms, height)
    above = picture(told, book.live.sagas.short_id_length(told.oldest), height)
    lines = console.render_lines(above)
    gap = Text("\n" * max(0, height - len(lines)))
    room = console.height - max(height, len(lines)) - _OTHER_LINES
    latest = itertools.islice(reversed(shown), max(0, room))
    return Group(
        _one_line(Text(head, style="bold")),
        Text(),
        above,
        gap,
        Text("LATEST ORDERS"),
        *map(_one_line, latest),
    )


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _chosen(new: list[Text]) -> list[Text]:
    """Evenly as many as can be read."""
    if len(new) <= _NEW_LINES_MAX:
        return new
    return [new[index * len(new) // _NEW_LINES_MAX] for index in range(_NEW_LINES_MAX)]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
