"""The sagas of a search as cases of an event log, read a page at a time: memory does not grow with them."""

from collections.abc import Iterator

from sqlalchemy import Engine

from tracker.core.export.case import Case, case_of
from tracker.view.known import Known
from tracker.view.model.search import Cursor, Order, Wanted, search
from tracker.view.queries.bytes import sagas_of
from tracker.view.row import row_of

PAGE = 500


class FoundCases:
    """Each time it is gone through the sagas are read anew, the oldest first; a connection for each page."""

    def __init__(self, engine: Engine, known: Known, wanted: Wanted, now_ms: int) -> None:
        self._engine = engine
        self._known = known
        self._wanted = wanted
        self._now_ms = now_ms

    def __iter__(self) -> Iterator[Case]:
        after: Cursor | None = None
        while True:
            with self._engine.connect() as connection:
                page = search(connection, self._wanted, Order.OLDEST, PAGE, self._now_ms, after)
                found = sagas_of(connection, [row.id for row in page.rows])
            for saga in found:
                row = row_of(saga, self._known)
                yield case_of(saga, row.flow, row.status, row.key, row.began_ms)
            if page.cursor is None:
                return
            after = page.cursor
