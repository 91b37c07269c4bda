"""Sagas as cases of an event log."""

from collections.abc import Callable, Collection, Iterable, Iterator

from tracker.core.errors import UnreadableSaga
from tracker.core.export.case import Case, case_of
from tracker.core.saga import decode_saga
from tracker.view.known import Known
from tracker.view.row import Row, row_of


class Cases:
    """The sagas among these bytes that `takes` wants, in the order of the bytes.

    It can be gone through again and again; one saga at a time is decoded. `unreadable` counts the bytes
    that are no saga, as of the last time.
    """

    def __init__(self, values: Collection[bytes], known: Known, takes: Callable[[Row], bool]) -> None:
        self._values = values
        self._known = known
        self._takes = takes
        self.found = 0
        self.unreadable = 0

    def __iter__(self) -> Iterator[Case]:
        self.found = self.unreadable = 0
        for value in self._values:
            try:
                saga = decode_saga(value)
            except UnreadableSaga:
                self.unreadable += 1
                continue
            if saga.joined:
                continue  # its events are those of another one
            row = row_of(saga, self._known)
            if self._takes(row):
                self.found += 1
                yield case_of(saga, row.flow, row.status, row.key, row.began_ms)


def named(texts: Iterable[str]) -> Callable[[Row], bool]:
    """Whether a saga has one of these as its id, as the beginning or end of it, or as its business key."""
    wanted = tuple(texts)

    def takes(row: Row) -> bool:
        return row.key in wanted or row.id.startswith(wanted) or row.id.endswith(wanted)

    return takes
