"""All sagas in memory, as rows: what `saga list` and `saga watch` ask.

A stopgap until the tracker has a read model in SQL; a million sagas take some 400 MB.
"""

from collections.abc import Iterable
from heapq import nlargest, nsmallest
from itertools import pairwise, takewhile

from tracker.core.errors import UnreadableSaga
from tracker.core.saga import decode_saga
from tracker.core.status import ENDED
from tracker.core.subscriptions import Subscriptions
from tracker.view.changelog import Change
from tracker.view.flows import FlowCounts, FlowSummary
from tracker.view.row import Row, row_of
from tracker.view.selection import SORT_KEYS, Selection, Sort

SHORT_ID_LENGTH_MIN = 8
_PENDING_MAX = 20_000


class Sagas:
    """The newest state of every saga. Changes of one saga must come in their order."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._rows: dict[str, Row] = {}
        self._in_flight: dict[str, Row] = {}
        self._flows: dict[str, FlowCounts] = {}
        # Most records of a changelog are superseded by a later one: only the last is decoded.
        self._pending: dict[str, bytes | None] = {}
        self._unreadable: set[str] = set()

    def put(self, changes: Iterable[Change]) -> None:
        """Take changes in."""
        for change in changes:
            self._pending[change.saga] = change.value
            if len(self._pending) >= _PENDING_MAX:
                self._settle()

    @property
    def unreadable(self) -> int:
        """How many sagas have a newest record that could not be read."""
        self._settle()
        return len(self._unreadable)

    def rows(self) -> list[Row]:
        """Every saga, in no order."""
        self._settle()
        return list(self._rows.values())

    def listed(self, selection: Selection, sort: Sort, limit: int, now_ms: int) -> tuple[list[Row], int]:
        """The first `limit` rows of a selection, and how many there are in all."""
        self._settle()
        unfinished = bool(selection.statuses) and not selection.statuses & ENDED
        rows = self._in_flight if unfinished else self._rows
        taken = [row for row in rows.values() if selection.takes(row, now_ms)]
        return nsmallest(limit, taken, key=SORT_KEYS[sort]), len(taken)

    def matching(self, text: str) -> list[Row]:
        """Sagas with this business key, or whose id begins or ends so; the newest first."""
        found = [
            row for row in self.rows() if row.key == text or row.id.startswith(text) or row.id.endswith(text)
        ]
        return sorted(found, key=SORT_KEYS[Sort.LAST])

    def nearest(self, text: str, count: int) -> list[Row]:
        """Sagas whose id or business key begins and ends most like this text."""

        def likeness(row: Row) -> tuple[int, int]:
            ends = (_alike(text, name) + _alike(text[::-1], name[::-1]) for name in (row.id, row.key))
            return max(ends), row.acted_ms

        return [row for row in nlargest(count, self.rows(), key=likeness) if likeness(row)[0] > 0]

    def short_id_length(self, shown: Iterable[Row]) -> int:
        """How many characters at the end of their ids tell the shown rows from every other saga.

        The end, because UUIDv7s begin with the time: those of one minute share their beginning.
        """
        ids = {row.id[::-1] for row in shown}
        ends = {id_[:SHORT_ID_LENGTH_MIN] for id_ in ids}
        backwards = (id_[::-1] for id_ in self._rows)
        rivals = sorted(id_ for id_ in backwards if id_[:SHORT_ID_LENGTH_MIN] in ends)
        neighbours = (_alike(*pair) + 1 for pair in pairwise(rivals) if not ids.isdisjoint(pair))
        return max(SHORT_ID_LENGTH_MIN, *neighbours, 0)

    def flows(self, now_ms: int) -> list[FlowSummary]:
        """Every flow that has sagas, by name."""
        self._settle()
        summaries = (self._flows[flow].summary(now_ms) for flow in sorted(self._flows))
        return [summary for summary in summaries if summary.in_flight + summary.completed + summary.failed]

    def _settle(self) -> None:
        pending, self._pending = self._pending, {}
        for saga_id, value in pending.items():
            self._replace(saga_id, self._read(saga_id, value))

    def _read(self, saga_id: str, value: bytes | None) -> Row | None:
        self._unreadable.discard(saga_id)
        if value is None:
            return None
        try:
            return row_of(decode_saga(value), self._subscriptions)
        except UnreadableSaga:
            self._unreadable.add(saga_id)
            return None

    def _replace(self, saga_id: str, row: Row | None) -> None:
        before = self._rows.pop(saga_id, None)
        self._in_flight.pop(saga_id, None)
        if before is not None:
            self._flows[before.flow].add(before, -1)
        if row is None:
            return
        self._rows[saga_id] = row
        if row.in_flight:
            self._in_flight[saga_id] = row
        self._flows.setdefault(row.flow, FlowCounts(row.flow)).add(row)


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
