"""The page of one saga."""

from urllib.parse import unquote

from tracker.access.role import Role
from tracker.dashboard.desk import Desk
from tracker.dashboard.node import Node, link
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.pages.saga.actions import actions, undoes
from tracker.dashboard.pages.saga.around import ahead_panel, children_panel, findings_panel, history_panel
from tracker.dashboard.pages.saga.compensation import compensation_panel
from tracker.dashboard.pages.saga.conversation import conversation_panel
from tracker.dashboard.pages.saga.event import event_drawer
from tracker.dashboard.pages.saga.head import head_panel
from tracker.dashboard.pages.saga.timeline import timeline_panel
from tracker.dashboard.place import Place
from tracker.dashboard.words import short_id
from tracker.view.queries.sagas import one_saga, plan_of


async def saga_page(desk: Desk, place: Place, role: Role) -> Page:
    """Everything of one saga; of one that belongs to another the other's."""
    saga_id = unquote(place.path.removeprefix("/sagas/"))
    saga = await desk.ask(saga_id, one_saga, desk.known, saga_id, desk.now_ms)
    if saga is None:
        return _unknown(saga_id)
    may_act = role >= Role.OPERATOR
    asked: list[Node] = []
    if may_act:
        plan = None
        if undoes(saga):
            plan = await desk.ask(saga_id, plan_of, desk.known, saga_id, desk.now_ms)
        asked = actions(saga, plan)
    shown = body(
        head_panel(saga, asked, desk.trace_url),
        findings_panel(saga),
        timeline_panel(saga, place, desk.now_ms),
        ahead_panel(saga),
        compensation_panel(saga, may_act=may_act),
        conversation_panel(saga),
        children_panel(saga),
        history_panel(saga),
        await event_drawer(desk, place, saga, role),
    )
    # With another event beside it, it is the same page: what is open stays open.
    return Page(saga.key or short_id(saga.id), shown, search=saga.key, key=place.path)


def _unknown(saga_id: str) -> Page:
    what = f"{saga_id} is not known, or not any more. "
    nothing = empty("There is no such saga", what, link("/sagas", "", "Search"), ".")
    return Page("No such saga", body(head("No such saga"), panel("", nothing)))
