"""One action for many sagas: asked for, and how far it is."""

from collections.abc import Sequence

from tracker.api.jobs import IDS_MAX
from tracker.core.words import plural
from tracker.dashboard.ask import ask, choice, field
from tracker.dashboard.desk import Desk
from tracker.dashboard.job import job_line, share_of
from tracker.dashboard.node import Node, div, h, link
from tracker.dashboard.page import panel
from tracker.dashboard.place import Place, href, path_to
from tracker.view.queries.jobs import JobRow, newest_commands
from tracker.view.queries.sagas import SagaPage

FORM = "ask-bulk-form"
"""What is chosen in the list belongs to it."""

MOST = 1_000
SHOWN_MS = 15 * 60_000
"""A job is shown here for so long after its end."""

_JOBS_SHOWN = 4
ACTIONS = {
    "pause": "Pause",
    "resume": "Resume",
    "cancel": "Cancel, and undo what was done",
    "cancel only": "Cancel, and leave what was done",
    "compensate": "Undo what was done",
    "retry": "Retry undos that are stuck",
    "note": "Write into their history",
}


def bulk_bar(page: SagaPage, place: Place) -> Node:
    """A button that asks what to do with which of them."""
    asked = {name: value for name, value in place.asked.items() if name not in ("after", "order")}
    count = f"{len(page.sagas)}{', and others' if page.next or place.asked.get('after') else ''}"
    which = {"chosen": "those chosen in the list", "found": f"all that this search finds ({count})"}
    every = h("input", {"type": "checkbox", "data-choose": "saga", "form": FORM})
    what = "Each saga gets the same command; one that it does not fit refuses it. It can be stopped."
    query = href("", asked).removeprefix("?")
    buttons = ask(
        "sagas act",
        "bulk",
        "Act on several…",
        "One action for several sagas",
        what,
        {"query": query},
        choice("action", "What", ACTIONS, "pause"),
        choice("which", "Which", which, "chosen"),
        field("most", "No more than", type="number", min=1, max=IDS_MAX, value=str(MOST), required=True),
    )
    return div("bulk", h("label", {"class": "soft"}, every, " all of this page"), *buttons, h("x-chosen"))


async def newest_jobs(desk: Desk) -> list[JobRow]:
    """Jobs that go on, and those that ended a moment ago."""
    since_ms = desk.now_ms - SHOWN_MS
    return await desk.ask("jobs", newest_commands, since_ms, _JOBS_SHOWN)


def jobs_panel(jobs: Sequence[JobRow], *, may_act: bool) -> Node | None:
    """How far they are; None where there are none."""
    if not jobs:
        return None
    lines = [job_line(job, _about(job), share_of(job), [], may_stop=may_act) for job in jobs]
    return panel("Jobs", *lines, name="jobs")


def _about(job: JobRow) -> Node:
    return link(path_to("jobs", job.id), "", f"{job.action} {plural(job.total, 'saga')}")
