"""The list of sagas, or the only one that was found."""

import asyncio

from tracker.access.role import Principal, Role
from tracker.dashboard.desk import Desk
from tracker.dashboard.node import Child, h, link
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.pages.sagas.bulk import bulk_bar, jobs_panel, newest_jobs
from tracker.dashboard.pages.sagas.filters import filters
from tracker.dashboard.pages.sagas.rows import sagas_table
from tracker.dashboard.pages.sagas.search import by_id, text_of, wanted_of
from tracker.dashboard.pages.sagas.views import views_bar
from tracker.dashboard.place import Place, path_to
from tracker.dashboard.table import PAGE_SIZE, live_panel, pager
from tracker.view.queries.cursor import UnusableCursor
from tracker.view.queries.sagas import Order, SagaPage, Wanted, find_sagas, types_of_variant
from tracker.view.queries.views import views_of


async def sagas_page(desk: Desk, place: Place, principal: Principal) -> Page:
    """The page of the list that the address names; views are those of this person."""
    try:
        wanted, order = wanted_of(place)
    except ValueError as error:
        nothing = empty("No such filter", str(error), ": ", link("/sagas", "", "take it away"), ".")
        return Page("Sagas", body(head("Sagas"), panel("", nothing)))
    try:
        page = await _found(desk, place, wanted, order)
    except UnusableCursor:
        return Page("Sagas", "", moved=place.but())
    text = text_of(place)
    if text and len(page.sagas) == 1 and set(place.asked) == {"q"}:
        return Page("Sagas", "", moved=path_to("sagas", page.sagas[0].id))
    may_act = principal.role >= Role.OPERATOR
    views, jobs, variant = await asyncio.gather(
        desk.ask(principal.name, views_of, principal.name), newest_jobs(desk), _variant(desk, wanted)
    )
    shown = body(
        head("Sagas", views_bar(views, place)),
        filters(place, desk.known, variant),
        jobs_panel(jobs, may_act=may_act),
        live_panel(place, *_list(page, place, may_act=may_act), name="list"),
    )
    return Page("Sagas", shown, search=text)


async def _found(desk: Desk, place: Place, wanted: Wanted, order: Order) -> SagaPage:
    after = place.asked.get("after")

    async def asked(what: Wanted) -> SagaPage:
        key = what, order, after
        return await desk.ask(key, find_sagas, desk.known, what, order, PAGE_SIZE, desk.now_ms, after)

    page = await asked(wanted)
    if wanted.business_key and not page.sagas and after is None:
        page = await asked(by_id(wanted))
    return page


async def _variant(desk: Desk, wanted: Wanted) -> tuple[str, ...]:
    if wanted.variant is None:
        return ()
    return await desk.ask(wanted.variant, types_of_variant, wanted.variant)


def _list(page: SagaPage, place: Place, *, may_act: bool) -> list[Child]:
    if not page.sagas:
        return [_nothing(place)]
    unreadable = None
    if page.unreadable:
        why = f"{page.unreadable} of this page were written by another version and can't be shown."
        unreadable = h("p", {"class": "soft"}, why)
    return [
        bulk_bar(page, place) if may_act else None,
        sagas_table(page.sagas, may_act=may_act),
        unreadable,
        pager(place, page.next),
    ]


def _nothing(place: Place) -> Child:
    if not place.asked:
        how = ["They appear as soon as a service publishes an event: try ", h("code", {}, "make demo"), "."]
        return empty("No sagas yet", *how)
    return empty("No saga is like that", link("/sagas", "", "Take the filters away"), " to see them all.")
