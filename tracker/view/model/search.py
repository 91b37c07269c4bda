"""Ask the read model: a page of sagas at a time, or the bytes of one."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    and_,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from tracker.core.contract.expected import Edge
from tracker.core.contract.findings import Kind
from tracker.core.status import ENDED, Status
from tracker.view.clocks import Stand
from tracker.view.model.batch import SagaRow
from tracker.view.model.shape import SEPARATOR, stored, variant_number
from tracker.view.model.tables import chains, errors, joined, sagas, shapes

PAGE_MAX = 1_000
_LAST = "\U0010ffff"
_LISTED_MAX = 500
_ALL = sys.maxsize

_Columns = ReadOnlyColumnCollection[str, Any]
_Of = Callable[[_Columns], ColumnElement[bool]]


class Order(StrEnum):
    """newest, oldest: by when they began; stalest: what has not moved for longest first; latest: what moved
    last first.
    """

    NEWEST = "newest"
    OLDEST = "oldest"
    STALEST = "stalest"
    LATEST = "latest"

    @property
    def by_move(self) -> bool:
        """Whether it is by the last move, and not by the beginning."""
        return self in (Order.STALEST, Order.LATEST)


@dataclass(frozen=True)
class Wanted:
    """What a saga must be to be found; None, "" or empty: anything will do.

    Attributes
    ----------
    place : type of the newest event on its way.
    flow : of a flow file, or the type of a first event.
    waiting_for : a service that owes an answer.
    service : one that handled an event of it.
    error : part of what a handler or an undo failed with, as it is written there.
    stand : of the most urgent of its clocks, if any runs: "on time", "due soon" or "overdue".
    variant : id of the one that it went; of those that have ended.
    edge : that it took.
    at_risk : whether a deadline has been warned of or has passed, and what it is for has not come.
    waiting_until_ms : it waits for something since then or longer, milliseconds since the epoch.
    findings : kinds of what is wrong with it, one of these at least.
    began_from_ms, began_until_ms : from then on, and before then; milliseconds since the epoch.
    ended_from_ms, ended_until_ms : the same of its end; of those that have ended.
    ids : one of these.
    """

    flow: str | None = None
    flow_version: int | None = None
    statuses: frozenset[Status] = frozenset()
    place: str | None = None
    business_key: str | None = None
    id_prefix: str = ""
    event_type: str | None = None
    service: str | None = None
    variant: str | None = None
    edge: Edge | None = None
    waiting_for: str | None = None
    error: str = ""
    stand: Stand | None = None
    at_risk: bool = False
    waiting_until_ms: int | None = None
    findings: frozenset[Kind] = frozenset()
    began_from_ms: int | None = None
    began_until_ms: int | None = None
    ended_from_ms: int | None = None
    ended_until_ms: int | None = None
    ids: frozenset[str] | None = None


class Cursor(NamedTuple):
    """The last saga of a page: the next page goes on behind it."""

    at_ms: int
    id: str


class Limits(NamedTuple):
    """Where one way to search is given up for another one; what is found is the same.

    Attributes
    ----------
    few : so many sagas are all looked at, rather than that a page is looked for in its order.
    many : the same, where else all sagas would have to be walked past.
    step : so many are walked past in that order at first.
    walk : so many, before it is thought of something else.
    shapes : of so many shapes the first sagas are merged.
    """

    few: int = 5_000
    many: int = 30_000
    step: int = 300
    walk: int = 3_000
    shapes: int = 1_000


_LIMITS = Limits()


class Page(NamedTuple):
    """`cursor` is None on the last page."""

    rows: list[SagaRow]
    cursor: Cursor | None


def search(
    connection: Connection,
    wanted: Wanted,
    order: Order,
    limit: int,
    now_ms: int,
    after: Cursor | None = None,
    limits: Limits = _LIMITS,
) -> Page:
    """The first sagas that are wanted, `PAGE_MAX` at most; or those after a cursor of the same order."""
    limit = min(limit, PAGE_MAX)
    rows = _Question(connection, wanted, order, limit + 1, now_ms, limits).rows(after)
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(rows[:limit], Cursor(last.acted_ms if order.by_move else last.began_ms, last.id))


def saga_bytes(connection: Connection, saga_id: str) -> bytes | None:
    """The bytes of one saga, or of the one that it belongs to; None if there is none of this id."""
    id_, passed = stored(saga_id), set[str]()
    while id_ not in passed:
        passed.add(id_)
        query = select(chains.c.value).join(sagas, sagas.c.number == chains.c.number)
        found: bytes | None = connection.scalar(query.where(sagas.c.id == id_))
        if found is not None:
            return bytes(found)
        whole: str | None = connection.scalar(select(joined.c.saga).where(joined.c.id == id_))
        id_ = id_ if whole is None else whole
    return None


def bytes_of_variant(connection: Connection, variant: str) -> bytes | None:
    """The bytes of some saga that went this variant; None if there is none.

    Raises
    ------
    ValueError
        This is no id of a variant.
    """
    query = select(chains.c.value).join(sagas, sagas.c.number == chains.c.number)
    found: bytes | None = connection.scalar(
        query.where(sagas.c.variant == variant_number(variant)).order_by(sagas.c.ended_ms.desc()).limit(1)
    )
    return None if found is None else bytes(found)


def counts(connection: Connection) -> dict[tuple[str, int, str, str], int]:
    """How many sagas stand where: by flow, its version, status and place."""
    group = shapes.c.flow, shapes.c.flow_version, shapes.c.status, shapes.c.place
    found = connection.execute(select(*group, func.sum(shapes.c.sagas)).group_by(*group))
    return {(flow, version, status, place): int(count) for flow, version, status, place, count in found}


def rows_of(connection: Connection, ids: Sequence[str]) -> list[SagaRow]:
    """The rows of these sagas, in their order, of those that there are."""
    found: dict[str, SagaRow] = {}
    for first in range(0, len(ids), PAGE_MAX):
        some = [stored(id_) for id_ in ids[first : first + PAGE_MAX]]
        page = select(sagas).where(sagas.c.id.in_(some)).subquery()
        found.update((row.id, row) for row in _rows(connection, page))
    return [found[stored(id_)] for id_ in ids if stored(id_) in found]


def _rows(connection: Connection, page: Subquery, *order: ColumnElement[Any]) -> list[SagaRow]:
    """What is to be told of some rows of `sagas`."""
    columns = [
        func.coalesce(errors.c.text, "")
        if name == "errors"
        else (page.c if name in page.c else shapes.c)[name]
        for name in SagaRow.__struct_fields__
    ]
    both = page.join(shapes, shapes.c.id == page.c.shape).outerjoin(errors, errors.c.id == page.c.error)
    return [SagaRow(*row) for row in connection.execute(select(*columns).select_from(both).order_by(*order))]


class _Condition(NamedTuple):
    """What a saga must be, said of some rows of `sagas`; `sagas` is how many are so, as far as is counted."""

    of: _Of
    sagas: int = _ALL


class _Question:
    """One search. What is wanted is looked up in the few rows of `shapes` and `errors` first.

    Databases guess badly how rare it is, and where it lies in the order. So the way is chosen here, and told
    so that they have no other choice: what is within a limit they don't take apart.
    """

    def __init__(
        self,
        connection: Connection,
        wanted: Wanted,
        order: Order,
        count: int,
        now_ms: int,
        limits: Limits,
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._wanted = wanted
        self._count = count
        self._now_ms = now_ms
        self._at = "acted_ms" if order.by_move else "began_ms"
        self._down = order in (Order.NEWEST, Order.LATEST)
        self._conditions: list[_Condition] = []
        self._alike = _of_shapes(wanted, self._contains)
        self._shapes: int | None = None
        of_ended = wanted.variant, wanted.ended_from_ms, wanted.ended_until_ms
        self._in_flight = {True, False} if of_ended == (None, None, None) else {False}

    def rows(self, after: Cursor | None) -> list[SagaRow]:
        """The first `count` of those behind the cursor."""
        if not self._look_up():
            return []
        if after is not None:
            self._conditions.append(_Condition(lambda c: self._behind(c, after)))
        limits = self._limits
        rarest = min(self._conditions, key=lambda condition: condition.sagas, default=None)
        if rarest is not None and rarest.sagas <= limits.few:
            return self._picked(rarest)
        for most in (limits.step, limits.walk):
            rows = self._walked(after, most)
            if rows is not None:
                return rows
        if self._at == "began_ms" and self._shapes is not None and self._shapes <= limits.shapes:
            return self._merged()
        if rarest is not None and rarest.sagas <= limits.many:
            return self._picked(rarest)
        return self._walked(after, None) or []

    def _look_up(self) -> bool:
        """Find out what can be known beforehand; False if there can be no such saga."""
        wanted, execute = self._wanted, self._connection.execute
        if self._alike:
            query = select(shapes.c.id, shapes.c.status, shapes.c.sagas).where(*self._alike)
            found = execute(query).all()
            self._shapes = len(found)
            self._in_flight &= {row.status not in ENDED for row in found}
            self._add("shape", {row.id: row.sagas for row in found}, select(shapes.c.id).where(*self._alike))
        if wanted.error:
            contains = self._contains(errors.c.text, stored(wanted.error))
            told = execute(select(errors.c.id, errors.c.sagas).where(contains)).all()
            self._add("error", {row.id: row.sagas for row in told}, select(errors.c.id).where(contains))
        most = max(self._limits.few, self._limits.many) + 1
        for of in _indexed(wanted, self._now_ms):
            some: Select[Any] = select(literal_column("1")).select_from(sagas).where(of(sagas.c)).limit(most)
            count = self._connection.scalar(select(func.count()).select_from(some.subquery())) or 0
            self._conditions.append(_Condition(of, count))
        self._conditions += map(_Condition, _others(wanted, self._now_ms))
        return all(condition.sagas for condition in self._conditions)

    def _add(self, column: str, counts: Mapping[int, int], query: Select[Any]) -> None:
        among: Any = list(counts) if len(counts) <= _LISTED_MAX else query
        self._conditions.append(_Condition(lambda c: c[column].in_(among), sum(counts.values())))

    def _picked(self, driver: _Condition) -> list[SagaRow]:
        """All for which the driver holds are looked at."""
        return self._page(select(sagas).where(driver.of(sagas.c)).limit(driver.sagas + 1))

    def _walked(self, after: Cursor | None, most: int | None) -> list[SagaRow] | None:
        """The page, found in walking past the first `most` in the order asked for; None if it takes more."""
        if self._at == "began_ms":
            return self._walk(_began(self._wanted, sagas.c), after, most)
        found: list[SagaRow] = []
        for in_flight in self._in_flight:  # each has an index of its own
            half = sagas.c.ended_ms.is_(None) if in_flight else sagas.c.ended_ms.is_not(None)
            rows = self._walk([half], after, most)
            if rows is None:
                return None
            found += rows
        found.sort(key=lambda row: (row.acted_ms, row.id), reverse=self._down)
        return found[: self._count]

    def _walk(
        self, within: Sequence[ColumnElement[bool]], after: Cursor | None, most: int | None
    ) -> list[SagaRow] | None:
        way = select(sagas).where(*within)
        if after is not None:
            way = way.where(self._behind(sagas.c, after))
        if most is None:
            conditions = (condition.of(sagas.c) for condition in self._conditions)
            return self._told(way.where(*conditions).order_by(*self._order(sagas.c)).limit(self._count))
        way = way.order_by(*self._order(sagas.c)).limit(most)
        rows = self._page(way)
        if len(rows) == self._count:
            return rows
        far = self._connection.scalar(select(func.count()).select_from(way.subquery())) or 0
        return rows if far < most else None

    def _merged(self) -> list[SagaRow]:
        """The first of each shape, merged."""
        assert self._shapes is not None
        most = self._shapes * self._count
        own = [*(condition.of(sagas.c) for condition in self._conditions), *_began(self._wanted, sagas.c)]
        mine = select(shapes.c.id).where(*self._alike).subquery("mine")
        firsts = select(sagas).where(sagas.c.shape == mine.c.id, *own).order_by(*self._order(sagas.c))
        firsts = firsts.limit(self._count)
        if self._connection.dialect.name == "postgresql":
            each = firsts.lateral("each")
            return self._page(select(each).select_from(mine.join(each, true())).limit(most))
        numbers = firsts.with_only_columns(sagas.c.number).correlate(mine)
        # A table of another name: that of the inner query is the one that its index is for.
        every = sagas.alias("every_saga")
        both = mine.join(every, every.c.number.in_(numbers))
        return self._page(select(every).select_from(both).limit(most))

    def _page(self, among: Select[Any]) -> list[SagaRow]:
        """The first of these rows of `sagas` that are wanted, in the order that was asked for."""
        c = among.subquery("among").c
        conditions = (condition.of(c) for condition in self._conditions)
        return self._told(select(*c).where(*conditions).order_by(*self._order(c)).limit(self._count))

    def _told(self, page: Select[Any]) -> list[SagaRow]:
        page_ = page.subquery("page")
        return _rows(self._connection, page_, *self._order(page_.c))

    def _order(self, c: _Columns) -> Iterator[ColumnElement[Any]]:
        for column in (c[self._at], c.id):
            yield column.desc() if self._down else column.asc()

    def _behind(self, c: _Columns, after: Cursor) -> ColumnElement[bool]:
        at = c[self._at]
        if self._down:
            return and_(at <= after.at_ms, or_(at < after.at_ms, c.id < after.id))
        return and_(at >= after.at_ms, or_(at > after.at_ms, c.id > after.id))

    def _contains(self, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
        # LIKE minds upper and lower case in one database only.
        place = func.strpos if self._connection.dialect.name == "postgresql" else func.instr
        found: ColumnElement[bool] = place(column, text) > 0
        return found


def _of_shapes(
    wanted: Wanted, contains: Callable[[ColumnElement[str], str], ColumnElement[bool]]
) -> list[ColumnElement[bool]]:
    """What a shape must be."""
    c = shapes.c
    found: list[ColumnElement[bool]] = []
    if wanted.flow is not None:
        flow = stored(wanted.flow)
        found.append(or_(c.flow == flow, c.begins == flow))
    if wanted.flow_version is not None:
        found.append(c.flow_version == wanted.flow_version)
    if wanted.statuses:
        found.append(c.status.in_(sorted(status.value for status in wanted.statuses)))
    if wanted.place is not None:
        found.append(c.place == stored(wanted.place))
    names = (
        (c.types, wanted.event_type),
        (c.edges, None if wanted.edge is None else wanted.edge.id),
        (c.services, wanted.service),
        (c.waiting_for, wanted.waiting_for),
    )
    for column, name in names:
        if name is not None:
            found.append(contains(column, f"{SEPARATOR}{stored(name)}{SEPARATOR}"))
    if wanted.findings:
        kinds = sorted(kind.value for kind in wanted.findings)
        found.append(or_(*(contains(c.findings, f"{SEPARATOR}{kind}{SEPARATOR}") for kind in kinds)))
    if wanted.stand is not None or wanted.at_risk:
        found.append(c.timed == 1)
    return found


def _indexed(wanted: Wanted, now_ms: int) -> Iterator[_Of]:
    """What a saga must be, where an index knows which are so."""
    if wanted.business_key is not None:
        key = stored(wanted.business_key)
        yield lambda c: c.business_key == key
    if wanted.ids is not None:
        ids = sorted(map(stored, wanted.ids))
        yield lambda c: c.id.in_(ids)
    if wanted.id_prefix:
        prefix = stored(wanted.id_prefix)
        yield lambda c: and_(c.id >= prefix, c.id < prefix + _LAST)
    if wanted.variant is not None:
        variant = variant_number(wanted.variant)
        yield lambda c: and_(c.variant == variant, *_ended(wanted, c))
    match wanted.stand:
        case None:
            pass
        case "overdue":
            yield lambda c: c.due_ms <= now_ms
        case "due soon":
            yield lambda c: and_(c.warn_at_ms <= now_ms, c.due_ms > now_ms)
        case "on time":
            yield lambda c: and_(c.due_ms > now_ms, or_(c.warn_at_ms.is_(None), c.warn_at_ms > now_ms))
        case _:
            raise ValueError(f"no running clock is ever {wanted.stand!r}")
    if wanted.at_risk:
        yield lambda c: or_(c.due_ms <= now_ms, c.warn_at_ms <= now_ms)
    if wanted.waiting_until_ms is not None:
        until_ms = wanted.waiting_until_ms
        yield lambda c: c.waits_ms <= until_ms
    if wanted.began_from_ms is not None or wanted.began_until_ms is not None:
        yield lambda c: and_(true(), *_began(wanted, c))


def _began(wanted: Wanted, c: _Columns) -> list[ColumnElement[bool]]:
    return _within(c.began_ms, wanted.began_from_ms, wanted.began_until_ms)


def _ended(wanted: Wanted, c: _Columns) -> list[ColumnElement[bool]]:
    return _within(c.ended_ms, wanted.ended_from_ms, wanted.ended_until_ms)


def _within(
    at_ms: ColumnElement[int], from_ms: int | None, until_ms: int | None
) -> list[ColumnElement[bool]]:
    found = []
    if from_ms is not None:
        found.append(at_ms >= from_ms)
    if until_ms is not None:
        found.append(at_ms < until_ms)
    return found


def _others(wanted: Wanted, now_ms: int) -> Iterator[_Of]:
    """What else a saga must be."""
    if wanted.findings:
        yield lambda c: c.found_ms <= now_ms
    if wanted.ended_from_ms is not None or wanted.ended_until_ms is not None:
        yield lambda c: and_(true(), *_ended(wanted, c))
