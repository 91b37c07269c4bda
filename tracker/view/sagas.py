"""All sagas in memory, as rows: what `saga list` and `saga watch` ask.

A stopgap until the tracker has a read model in SQL; a million sagas take some 400 MB.
"""

from collections import Counter
from collections.abc import Iterable
from heapq import nlargest, nsmallest
from itertools import pairwise, takewhile

from tracker.core.chain import UNKNOWN_FLOW
from tracker.core.contract.findings import Finding, Kind
from tracker.core.contract.stuck import Stuck, stuck
from tracker.core.contract.traffic import At, answer_times
from tracker.core.errors import UnreadableSaga
from tracker.core.prediction import Forecast, History, journey
from tracker.core.quantiles import Sketches
from tracker.core.saga import Saga, decode_saga
from tracker.core.status import ENDED, Status
from tracker.view.changelog import Change
from tracker.view.clocks import Stand, worst
from tracker.view.documents.row import SagaSummary, saga_summary
from tracker.view.flows import FlowCounts, FlowSummary, group_of
from tracker.view.known import Known
from tracker.view.risk import at_risk
from tracker.view.row import Row, row_of
from tracker.view.selection import SORT_KEYS, Selection, Sort

SHORT_ID_LENGTH_MIN = 8
_PENDING_MAX = 20_000


class Sagas:
    """The newest state of every saga that belongs to no other one.

    Changes of one saga must come in their order.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._rows: dict[str, Row] = {}
        self._in_flight: dict[str, Row] = {}
        self._flows: dict[str, FlowCounts] = {}
        self._histories: dict[str, History] = {}
        self._answers: dict[str, Sketches[At]] = {}
        self._stuck: dict[str, tuple[Stuck, ...]] = {}
        # Most records of a changelog are superseded by a later one: only the last is decoded.
        self._pending: dict[str, bytes | None] = {}
        self._unreadable: set[str] = set()
        self._joined: dict[str, str] = {}

    def put(self, changes: Iterable[Change]) -> None:
        """Take changes in."""
        for change in changes:
            self._pending[change.saga] = change.value
            if len(self._pending) >= _PENDING_MAX:
                self._settle()

    def summary(self, row: Row, now_ms: int) -> SagaSummary:
        """All that a list tells of a saga."""
        return saga_summary(row, now_ms, self.forecast(row, now_ms), self.findings(row, now_ms))

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
        taken = [row for row in rows.values() if self._takes(selection, row, now_ms)]
        return nsmallest(limit, taken, key=SORT_KEYS[sort]), len(taken)

    def findings(self, row: Row, now_ms: int) -> tuple[Finding, ...]:
        """What is wrong with a saga by now, the oldest first."""
        known = tuple(finding for finding in row.findings if finding.at_ms <= now_ms)
        return tuple(sorted((*known, *(wait.finding() for wait in self.stuck(row, now_ms)))))

    def stuck(self, row: Row, now_ms: int) -> tuple[Stuck, ...]:
        """What it waits for much longer than sagas of its flow did; so until it moves."""
        self._settle()
        before = self._stuck.pop(row.id, ())
        flow = self._known.flows.get(row.flow, row.flow_version)
        past = self._answers.get(group_of(row)) or Sketches[At]()
        found = stuck(before, row.waits, flow, past, now_ms)
        if found:
            self._stuck[row.id] = found
        return found

    def _takes(self, selection: Selection, row: Row, now_ms: int) -> bool:
        if not selection.takes(row, now_ms):
            return False
        kinds = selection.findings
        if not kinds or (Kind.STUCK in kinds and row.status is Status.STUCK):
            return True
        return any(finding.kind in kinds for finding in self.findings(row, now_ms))

    def forecast(self, row: Row, now_ms: int) -> Forecast | None:
        """How it goes on by the history of its flow; None if it has none, or is not on its way."""
        if not row.of_flow or row.status not in (Status.OPEN, Status.RETRYING):
            return None
        self._settle()
        history = self._histories.setdefault(row.flow, History())
        return history.forecast(row.where, row.where_ms, row.clocks, now_ms)

    def at_risk(self, selection: Selection, limit: int, now_ms: int) -> tuple[list[Row], int]:
        """Those of a selection that are likely to breach a deadline, the most likely first; how many."""
        self._settle()
        found = []
        for row in self._in_flight.values():
            if row.clocks and self._takes(selection, row, now_ms):
                forecast = self.forecast(row, now_ms)
                if forecast is not None and at_risk(row, forecast, now_ms):
                    found.append((-forecast.risk, row.clocks[0].due_ms, row.id, row))
        return [row for *_, row in nsmallest(limit, found)], len(found)

    def matching(self, text: str) -> list[Row]:
        """Sagas with this business key, or one of whose ids begins or ends so; the newest first."""
        self._settle()
        other = {self._whole(id_) for id_ in self._joined if id_.startswith(text) or id_.endswith(text)}
        found = [
            row
            for row in self.rows()
            if row.key == text or row.id.startswith(text) or row.id.endswith(text) or row.id in other
        ]
        return sorted(found, key=SORT_KEYS[Sort.LAST])

    def nearest(self, text: str, count: int) -> list[Row]:
        """Sagas whose id or business key begins and ends most like this text."""

        def likeness(row: Row) -> tuple[int, int]:
            ends = (_alike(text, name) + _alike(text[::-1], name[::-1]) for name in (row.id, row.key))
            return max(ends), row.acted_ms

        return [row for row in nlargest(count, self.rows(), key=likeness) if likeness(row)[0] > 0]

    def short_id_length(self, shown: Iterable[Row | SagaSummary]) -> int:
        """How many characters at the end of their ids tell the shown sagas from every other one."""
        return short_id_length((saga.id for saga in shown), self._rows)

    def flows(self, now_ms: int) -> list[FlowSummary]:
        """Every flow that has sagas, by name; those of no known flow by the type of their first event."""
        self._settle()
        stands: dict[str, Counter[Stand]] = {}
        for row in self._in_flight.values():
            if row.of_flow and row.status in (Status.OPEN, Status.RETRYING):
                stands.setdefault(row.flow, Counter())[worst(row.clocks, now_ms)] += 1
        return [
            counts.summary(now_ms, stands.get(name, {}))
            for name, counts in sorted(self._flows.items(), key=_known_first)
            if counts.sagas
        ]

    def _settle(self) -> None:
        pending, self._pending = self._pending, {}
        for saga_id, value in pending.items():
            self._replace(saga_id, self._read(saga_id, value))

    def _read(self, saga_id: str, value: bytes | None) -> Saga | None:
        self._unreadable.discard(saga_id)
        if value is None:
            return None
        try:
            return decode_saga(value)
        except UnreadableSaga:
            self._unreadable.add(saga_id)
            return None

    def _replace(self, saga_id: str, saga: Saga | None) -> None:
        before = self._rows.pop(saga_id, None)
        self._in_flight.pop(saga_id, None)
        if before is not None:
            self._flows[group_of(before)].add(before, -1)
        self._joined.pop(saga_id, None)
        if saga is None:
            self._stuck.pop(saga_id, None)
            return
        if saga.joined:
            self._joined[saga_id] = saga.joined
            return
        row = row_of(saga, self._known)
        self._rows[saga_id] = row
        if row.in_flight:
            self._in_flight[saga_id] = row
        group = group_of(row)
        if group not in self._flows:
            self._flows[group] = FlowCounts(group, self._known.flows.newest(group))
        self._flows[group].add(row)
        if not row.in_flight and (before is None or before.in_flight):
            answers = self._answers.setdefault(group, Sketches())
            for at, took_ms in answer_times(saga, self._known.undo_words(saga)):
                answers.add(at, took_ms)
        if row.status is Status.COMPLETED and (before is None or before.status is not Status.COMPLETED):
            self._remember(saga)

    def _whole(self, saga_id: str) -> str:
        """The saga that this one belongs to in the end."""
        passed = {saga_id}
        while (other := self._joined.get(saga_id, "")) and other not in passed:
            passed.add(other)
            saga_id = other
        return saga_id

    def _remember(self, saga: Saga) -> None:
        flow = self._known.flow_of(saga)
        told = None if flow is None else journey(saga, flow)
        if flow is not None and told is not None:
            self._histories.setdefault(flow.name, History()).add(told)


def short_id_length(shown: Iterable[str], every: Iterable[str]) -> int:
    """How many characters at the end tell the shown ids from every other one; these are among `every`.

    The end, because UUIDv7s begin with the time: those of one minute share their beginning.
    """
    ids = {id_[::-1] for id_ in shown}
    ends = {id_[:SHORT_ID_LENGTH_MIN] for id_ in ids}
    backwards = (id_[::-1] for id_ in every)
    rivals = sorted(id_ for id_ in backwards if id_[:SHORT_ID_LENGTH_MIN] in ends)
    neighbours = (_alike(*pair) + 1 for pair in pairwise(rivals) if not ids.isdisjoint(pair))
    return max(SHORT_ID_LENGTH_MIN, *neighbours, 0)


def _known_first(group: tuple[str, FlowCounts]) -> tuple[bool, str]:
    return group[0].startswith(UNKNOWN_FLOW), group[0]


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
