"""What the tracker says of the demo's orders, kept up to date."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable

from rich.text import Text

from saga.runtime.settings import KafkaSettings
from services.demo.chains import chain_line
from tracker.core.chain import began_ms
from tracker.core.errors import UnreadableSaga
from tracker.core.saga import decode_saga
from tracker.core.status import ENDED, Status, status
from tracker.view.changelog import Change, open_changelog
from tracker.view.known import Known, read_known
from tracker.view.live import Live
from tracker.view.row import Row
from tracker.view.sagas import Sagas

SETTLE_MS = 400
"""A saga has ended when it says so for this long: its topics are not read in step with each other."""

_READ_MS = 250
_WAITING_LINES_MAX = 10_000

_OUTCOMES = {
    "parcel.dispatched": "dispatched",
    "points.granted": "dispatched",  # by the service in JavaScript, if it is there
    "payment.declined": "declined",
    "order.cancelled": "rejected",
}


class Book:
    """Sagas that began at `since_ms` or later, by the saga table in Kafka.

    `live` is what `saga watch` draws. `lines` are the chains of those that ended, to be taken away.
    """

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._known = Known()
        self._changed: dict[str, Change] = {}
        self.live = Live(Sagas(self._known), as_of_ms=self._since_ms)
        self.lines: deque[Text] = deque(maxlen=_WAITING_LINES_MAX)

    async def follow(self, settings: KafkaSettings) -> None:
        """Read on and on, until cancelled.

        Raises
        ------
        NothingTracked
            There is no saga table: the tracker has not made it yet.
        """
        self._known = await read_known(settings)
        self.live = Live(Sagas(self._known), as_of_ms=self._since_ms)
        async with open_changelog(settings) as changelog:
            async for changes in changelog.to_end():
                self._take(changes)
            while True:
                self._take(await changelog.more(within_ms=_READ_MS))
                await asyncio.sleep(0)

    def settle(self, now_ms: int) -> None:
        """Write the lines of sagas that have ended by now."""
        quiet = [change for change in self._changed.values() if now_ms - change.at_ms >= SETTLE_MS]
        for change in sorted(quiet, key=lambda change: change.at_ms):
            del self._changed[change.saga]
            if change.value is not None:
                self._settle_one(change.value, now_ms)

    def summary(self, malformed: int) -> str:
        """`120 orders: 101 dispatched, 6 declined, … ; malformed records: 3`."""
        rows = [
            row
            for row in self.live.sagas.rows()
            if row.began_ms >= self._since_ms and row.key.startswith("o-")
        ]
        counts = Counter(_outcome(row) for row in rows)
        names = *dict.fromkeys(_OUTCOMES.values()), "given up", "under way"
        parts = [f"{counts[name]:,} {name}" for name in names]
        return f"{len(rows):,} orders: {', '.join(parts)}; malformed records: {malformed:,}"

    def _take(self, changes: Iterable[Change]) -> None:
        changes = list(changes)
        self.live.take(changes)
        for change in changes:
            self._changed[change.saga] = change

    def _settle_one(self, value: bytes, now_ms: int) -> None:
        try:
            saga = decode_saga(value)
        except UnreadableSaga:
            return  # `live` counts it
        if began_ms(saga) >= self._since_ms and status(saga, self._known.subscriptions) in ENDED:
            self.lines.append(chain_line(saga, self._known, now_ms))


def _outcome(row: Row) -> str:
    if row.in_flight:
        return "under way"
    if row.status is Status.FAILED and row.dead_letters:
        return "given up"
    return _OUTCOMES.get(row.where, "given up" if row.of_flow else "under way")
