"""One module a page: it asks, and makes a tree of the answer."""

from tracker.access.role import Principal
from tracker.dashboard.desk import Desk
from tracker.dashboard.page import Page, unknown
from tracker.dashboard.pages.alerts import alerts_list
from tracker.dashboard.pages.dead_letters import dead_letters_page
from tracker.dashboard.pages.flow.all import flows_page
from tracker.dashboard.pages.flow.page import flow_page
from tracker.dashboard.pages.job import job_page
from tracker.dashboard.pages.letter import letter_page
from tracker.dashboard.pages.orphans import orphans_page
from tracker.dashboard.pages.overview import overview_page
from tracker.dashboard.pages.saga.page import saga_page
from tracker.dashboard.pages.sagas.page import sagas_page
from tracker.dashboard.pages.services import service_page, services_page
from tracker.dashboard.pages.settings import settings_page
from tracker.dashboard.place import Place

_PAGES = {
    "/": overview_page,
    "/flows": flows_page,
    "/alerts": alerts_list,
    "/dead-letters": dead_letters_page,
    "/services": services_page,
    "/orphans": orphans_page,
}
_PERSONAL = {
    "/sagas": sagas_page,
    "/settings": settings_page,
}
"""They show something that is of one person."""

_PAGES_BELOW = {
    "/flows/": flow_page,
    "/jobs/": job_page,
    "/sagas/": saga_page,
    "/dead-letters/": letter_page,
    "/services/": service_page,
}
"""Pages of one thing: the rest of the path names it."""


async def page_at(desk: Desk, place: Place, principal: Principal) -> Page:
    """The page of this place, as things are now, for somebody like this."""
    if (personal := _PERSONAL.get(place.path)) is not None:
        return await personal(desk, place, principal)
    if (whole := _PAGES.get(place.path)) is not None:
        return await whole(desk, place, principal.role)
    for path, below in _PAGES_BELOW.items():
        if place.path.startswith(path):
            return await below(desk, place, principal.role)
    return unknown(place.path)
