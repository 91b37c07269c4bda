"""Sagas as the API of a `saga dashboard` tells them."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence

from msgspec import structs

from saga.core.errors import SagaError
from tracker.cli.find import bare, tell_others
from tracker.cli.list import Listed
from tracker.cli.remote import Params, Refused, Remote, remote, segment
from tracker.cli.remote_freshness import tell_stale
from tracker.core.contract.expected import edge_of
from tracker.core.status import Status
from tracker.view.documents.moment import timestamp
from tracker.view.documents.orphans import OrphansDocument
from tracker.view.documents.row import SagaSummary
from tracker.view.documents.saga import SagaDocument
from tracker.view.queries.attention import SagaList
from tracker.view.queries.flows import FlowsDocument
from tracker.view.queries.named import NamedSagas
from tracker.view.queries.sagas import SagaPage
from tracker.view.sagas import short_id_length
from tracker.view.selection import URGENCY, Selection, Sort

_PAGE = 500
_LAST_MAX = 10_000
_NO_FLOW = {"version": 0}


class NotOverHttp(SagaError):
    """The server can't be asked for that. The message says what it can."""


async def list_sagas(url: str, selection: Selection, sort: Sort, limit: int, at_risk: bool) -> Listed:
    """The first `limit` sagas of a selection, in the order in which the same list of Kafka has them.

    Raises
    ------
    NotOverHttp
        Those at risk are to be of a variant, or to have taken an edge; or the edge is none.
    """
    if selection.edge:
        try:
            edge_of(selection.edge)
        except ValueError as error:
            raise NotOverHttp(str(error)) from None
    if at_risk and (selection.variant or selection.edge):
        raise NotOverHttp("what is at risk is not told by variant or edge: leave out --at-risk, or the other")
    async with remote(url) as server:
        found = (
            _at_risk(server, selection)
            if at_risk
            else _sorted(server, selection, sort, min(limit + 1, _PAGE))
        )
        sagas: list[SagaSummary] = []
        total: int | None = 0
        async for saga in found:
            if len(sagas) == limit:
                total = None
                break
            sagas.append(saga)
        stuck = {saga.id: saga for saga in await _stuck(server, selection.flow)} if sagas else {}
        await tell_stale(server)
        any_ = bool(sagas) or bool((await _page(server, {"limit": 1})).sagas)
    told = [_with_findings(saga, stuck.get(saga.id)) for saga in sagas]
    ids = [saga.id for saga in told]
    return Listed(told, short_id_length(ids, ids), None if total is None else len(told), any_, 0)


async def show_saga(url: str, text: str) -> SagaDocument | None:
    """The one saga that is meant; None if there is none or more than one, which has been told then."""
    async with remote(url) as server:
        found = await find_saga(server, text)
        await tell_stale(server)
        return found


async def find_saga(server: Remote, text: str) -> SagaDocument | None:
    """The same of a server."""
    name = bare(text)
    try:
        return await _one(server, name)
    except Refused as error:
        if error.name != "unknown-saga":
            raise
    found = await server.get("named", NamedSagas, {"text": name})
    if found.matches == 1:
        return await _one(server, found.sagas[0].id)
    ids = [saga.id for saga in found.sagas]
    tell_others(name, found.matches, found.sagas, short_id_length(ids, ids))
    return None


async def list_orphans(url: str, topics: Sequence[str], last: int, limit: int) -> OrphansDocument:
    """Records that belong to no saga, of the topics that the tracker reads."""
    if topics:
        raise NotOverHttp("with --url the server looks at the topics that it reads itself: name none")
    if not 1 <= last <= _LAST_MAX:
        raise NotOverHttp(f"with --url give --last from 1 to {_LAST_MAX}: so many records it looks at")
    async with remote(url) as server:
        return await server.get("orphans", OrphansDocument, {"last": last, "limit": min(limit, _PAGE)})


async def _one(server: Remote, saga_id: str) -> SagaDocument:
    return await server.get(f"sagas/{segment(saga_id)}", SagaDocument)


async def _sorted(server: Remote, selection: Selection, sort: Sort, size: int) -> AsyncIterator[SagaSummary]:
    wanted = _wanted(selection)
    match sort:
        case Sort.AGE:
            groups: Iterator[Params] = iter([{"order": "oldest"}])
        case Sort.LAST:
            groups = iter([{"order": "latest"}])
        case Sort.STATUS:
            groups = _by_urgency(selection)
        case Sort.FLOW:
            groups = _by_flow(await server.get("flows", FlowsDocument))
    seen: set[str] = set()
    for group in groups:
        async for saga in _pages(server, {**wanted, "order": "oldest", "limit": size, **group}):
            # One that moves from group to group meanwhile is listed once.
            if saga.id not in seen and _takes(group, selection, saga):
                seen.add(saga.id)
                yield saga


def _by_urgency(selection: Selection) -> Iterator[Params]:
    statuses = selection.statuses or frozenset(Status)
    if Status.FAILED in statuses:
        yield {"status": Status.FAILED.value, **_NO_FLOW}
    for status in URGENCY:
        if status in statuses:
            yield {"status": status.value}


def _by_flow(flows: FlowsDocument) -> Iterator[Params]:
    yield _NO_FLOW
    for flow in flows.flows:
        if flow.version is not None:
            yield {"flow": flow.flow}


def _takes(group: Params, selection: Selection, saga: SagaSummary) -> bool:
    """What the server can't be asked for."""
    if "flow" in group:
        return saga.flow == group["flow"] and selection.flow in (None, saga.flow, saga.begins)
    return True


def _wanted(selection: Selection) -> dict[str, str | list[str] | None]:
    until = None
    if selection.older_than_ms:
        until = timestamp(time.time_ns() // 1_000_000 - selection.older_than_ms + 1)
    return {
        "flow": selection.flow,
        "status": sorted(status.value for status in selection.statuses),
        "key": selection.key,
        "waiting_for": selection.waiting_for,
        "variant": selection.variant,
        "edge": selection.edge,
        "finding": sorted(kind.value for kind in selection.findings),
        "began_until": until,
    }


async def _pages(server: Remote, params: Params) -> AsyncIterator[SagaSummary]:
    after: str | None = None
    while True:
        page = await _page(server, {**params, "after": after})
        for saga in page.sagas:
            yield saga
        after = page.next
        if after is None:
            return


async def _page(server: Remote, params: Params) -> SagaPage:
    return await server.get("sagas", SagaPage, params)


async def _at_risk(server: Remote, selection: Selection) -> AsyncIterator[SagaSummary]:
    found = await server.get("at-risk", SagaList, {"flow": selection.flow, "limit": _PAGE})
    for saga in found.sagas:
        if (
            (not selection.statuses or saga.status in selection.statuses)
            and selection.key in (None, saga.key)
            and (
                selection.waiting_for is None
                or any(owed.service == selection.waiting_for for owed in saga.waiting_for)
            )
            and saga.age_ms >= selection.older_than_ms
            and (not selection.findings or any(each.kind in selection.findings for each in saga.findings))
        ):
            yield saga


async def _stuck(server: Remote, flow: str | None) -> list[SagaSummary]:
    """A search tells what is wrong with sagas, but not that they wait too long: that takes the past."""
    return (await server.get("stuck", SagaList, {"flow": flow, "limit": _PAGE})).sagas


def _with_findings(saga: SagaSummary, stuck: SagaSummary | None) -> SagaSummary:
    return saga if stuck is None else structs.replace(saga, findings=stuck.findings)
