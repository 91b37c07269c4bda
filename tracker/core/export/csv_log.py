"""Cases as CSV (RFC 4180): one line an event, under the column names of XES, which process miners know."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from tracker.core.export.case import Case, timestamp

COLUMNS = (
    "case:concept:name",
    "concept:name",
    "time:timestamp",
    "lifecycle:transition",
    "org:resource",
    "event:id",
    "event:cause",
    "event:key",
    "event:topic",
    "case:flow",
    "case:status",
    "case:key",
)


def csv_log(cases: Iterable[Case]) -> Iterator[str]:
    """The pieces of the file."""
    yield _lines([COLUMNS])
    for case in cases:
        if case.events:
            yield _lines(
                (
                    case.id,
                    event.type,
                    timestamp(event.at_ms),
                    "complete",
                    event.resource,
                    event.id,
                    event.cause,
                    event.key,
                    event.topic,
                    case.flow,
                    case.status,
                    case.key,
                )
                for event in case.events
            )


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
