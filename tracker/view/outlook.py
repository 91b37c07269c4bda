"""What is wrong with one saga and what is still to come, by a handful of others of its flow."""

from collections.abc import Iterator
from typing import NamedTuple

from tracker.core.cloudevent import SOURCE
from tracker.core.contract.ahead import Ahead, steps_ahead
from tracker.core.contract.findings import Finding
from tracker.core.contract.stuck import stuck
from tracker.core.course import SETTLED
from tracker.core.discovery import Variants, trace
from tracker.core.saga import Saga
from tracker.core.status import Status
from tracker.view.known import Known
from tracker.view.past import Past
from tracker.view.row import Row
from tracker.view.undo import undo_views


class Outlook(NamedTuple):
    """`findings` that count by now, the oldest first; `ahead` is empty once the saga has ended."""

    findings: tuple[Finding, ...] = ()
    ahead: tuple[Ahead, ...] = ()


NO_OUTLOOK = Outlook()


def outlook_of(saga: Saga, row: Row, past: Past, known: Known, now_ms: int) -> Outlook:
    """How the saga stands to its contract; the past says how long waits usually are, and where ways lead."""
    waits = stuck((), row.waits, known.flow_of(saga), past.answers, now_ms)
    found = [finding for finding in row.findings if finding.at_ms <= now_ms]
    return Outlook(
        tuple(sorted([*found, *(wait.finding() for wait in waits)])),
        tuple(_ahead(saga, row, known, past.variants)),
    )


def _ahead(saga: Saga, row: Row, known: Known, variants: Variants) -> Iterator[Ahead]:
    if row.status in (Status.COMPENSATING, Status.STUCK):
        yield from _way_back(saga, row, known)
    elif row.in_flight:
        asked = dict.fromkeys(owed.type for owed in row.waiting if owed.type)
        yield from steps_ahead(
            trace(saga).types, asked or [row.where], known.expected(saga), variants.listed()
        )


def _way_back(saga: Saga, row: Row, known: Known) -> Iterator[Ahead]:
    """Commands that are still to be sent, and confirmations that are still to come."""
    expected = known.expected(saga)
    for undo in undo_views(saga, known.flow_of(saga), known.subscriptions):
        if undo.status not in SETTLED and undo.command:
            if not undo.attempt:
                yield Ahead(undo.command, (SOURCE,), -1.0)
            services = tuple(edge.service for edge in expected.leading_to.get(undo.confirmed, ()))
            yield Ahead(undo.confirmed, services, -1.0)
    if row.ends_with:
        yield Ahead(row.ends_with, (SOURCE,), -1.0)
