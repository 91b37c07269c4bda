"""One bulk job: how far it is, and what each of its sagas answered."""

from typing import get_args
from urllib.parse import unquote

from tracker.access.role import Role
from tracker.core.words import plural
from tracker.dashboard.desk import Desk
from tracker.dashboard.job import job_line, share_of
from tracker.dashboard.node import Node, div, h, link, span
from tracker.dashboard.page import Page, body, empty, head, panel
from tracker.dashboard.place import Place, path_to
from tracker.dashboard.table import PAGE_SIZE, chip, pager, table
from tracker.dashboard.words import short_id, state
from tracker.view.queries.jobs import ItemState, JobItem, JobRow, items_of, one_job

STATES: tuple[ItemState, ...] = get_args(ItemState)
_CLASSES: dict[ItemState, str] = {
    "waiting": "going",
    "accepted": "ok",
    "refused": "late",
    "unanswered": "soon",
}


async def job_page(desk: Desk, place: Place, role: Role) -> Page:
    """The page of one job; the address may name what its sagas came to."""
    job_id = unquote(place.path.removeprefix("/jobs/"))
    job = await desk.ask(job_id, one_job, job_id)
    if job is None:
        nothing = empty("There is no such job", "The newest are kept. ", link("/sagas", "", "Sagas"), ".")
        return Page("No such job", body(head("No such job"), panel("", nothing)))
    wanted = next((each for each in STATES if each == place.asked.get("state")), None)
    after = place.asked.get("after", "")
    behind = int(after) if after.isascii() and after.isdigit() else -1
    items = await desk.ask((job_id, wanted, behind), items_of, job_id, wanted, behind, PAGE_SIZE + 1)
    return Page(job.action, job_body(job, items, place, may_stop=role >= Role.OPERATOR))


def job_body(job: JobRow, items: list[JobItem], place: Place, *, may_stop: bool) -> Node:
    """Its progress, and a page of its sagas; one item more than that tells that there are others."""
    shown = items[:PAGE_SIZE]
    chosen = place.asked.get("state", "")
    chips = [chip(place.but(state=each), each.capitalize(), on=each == chosen) for each in STATES]
    about = span("", plural(job.total, "saga"))
    listed: list[Node | None] = [
        table(["Saga", "Came to", "Answer"], [_row(item) for item in shown]),
        pager(place, str(shown[-1].number) if len(items) > PAGE_SIZE else None),
    ]
    if not shown:
        why = "A redrive has none: its letters tell." if job.action == "redrive" else "None came to this."
        listed = [empty("No sagas", why)]
    return body(
        head(f"Job: {job.action}"),
        panel("", job_line(job, about, share_of(job), [], may_stop=may_stop)),
        div("chips", chip(place.but(state=None), "All", on=not chosen), *chips),
        panel("", *listed),
    )


def _row(item: JobItem) -> Node:
    address = path_to("sagas", item.saga)
    return h(
        "tr",
        {"data-href": address, "key": item.number},
        h("td", {"class": "tight"}, link(address, "mono", short_id(item.saga), data_step=True)),
        h("td", {"class": "tight"}, state(_CLASSES[item.state], item.state)),
        h("td", {"class": "wide-text"}, item.message),
    )
