"""The saga table, kept up to date for as long as somebody watches."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from saga.runtime.settings import KafkaSettings
from tracker.view.changelog import Change, Changelog, open_changelog
from tracker.view.known import Known, read_known
from tracker.view.sagas import Sagas

_KNOWN_SECONDS = 10.0


@dataclass
class Live:
    """All sagas at one time; the same object changes as time goes on.

    `as_of_ms`: all that was written up to then is in it. `changed_ms`: when the newest change was
    written, 0 when there is none. Both in milliseconds since the epoch.
    """

    sagas: Sagas
    as_of_ms: int = 0
    changed_ms: int = 0

    def take(self, changes: Iterable[Change]) -> None:
        """Take in what was read; nothing to read means that all that was written is in."""
        newest_ms = max((change.at_ms for change in changes), default=0)
        self.sagas.put(changes)
        self.changed_ms = max(self.changed_ms, newest_ms)
        self.as_of_ms = newest_ms or time.time_ns() // 1_000_000


async def live(settings: KafkaSettings, every_seconds: float) -> AsyncGenerator[Live, None]:
    """The sagas as soon as all have been read, then again and again; close it to end.

    Raises
    ------
    NothingTracked
        There is no saga table.
    """
    while True:
        known = await read_known(settings)
        async with open_changelog(settings) as changelog:
            now = Live(Sagas(known))
            async for changes in changelog.to_end():
                now.take(changes)
            now.take([])
            yield now
            # Rows are judged by the services and flows of their time: others need a new beginning.
            while await _unchanged(settings, known):
                for _ in range(max(1, round(_KNOWN_SECONDS / every_seconds))):
                    await _follow(changelog, now, every_seconds)
                    yield now


async def _unchanged(settings: KafkaSettings, known: Known) -> bool:
    return known.same(await read_known(settings))


async def _follow(changelog: Changelog, now: Live, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (left := deadline - loop.time()) > 0:
        now.take(await changelog.more(within_ms=max(1, round(left * 1000))))
