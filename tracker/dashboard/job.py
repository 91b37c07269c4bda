"""A bulk job as it is drawn: who wanted what and why, how far it is, and how to stop it."""

from collections.abc import Sequence

from msgspec import json

from tracker.dashboard.moment import at
from tracker.dashboard.node import Node, div, h, span
from tracker.dashboard.words import state
from tracker.view.queries.jobs import JobRow, JobState

_CLASSES: dict[JobState, str] = {
    "waiting": "going",
    "running": "going",
    "done": "ok",
    "failed": "late",
    "aborted": "soon",
}
_WORDS = {
    "failed-again": "failed again",
    "unanswered": "not answered",
    "left": "left as they are",
    "waiting": "to go",
}


def goes_on(job: JobRow) -> bool:
    """Whether somebody works on it, or is going to."""
    return job.state in ("waiting", "running")


def progress_of(job: JobRow) -> dict[str, int]:
    """How many items came to what."""
    return json.decode(job.progress, type=dict[str, int])


def share_of(job: JobRow) -> float:
    """How much is done of a job that knows how many items it has, from 0 to 1."""
    progress = progress_of(job)
    done = sum(count for name, count in progress.items() if name != "waiting")
    return done / job.total if job.total > 0 else 1.0


def job_line(job: JobRow, about: Node, share: float, told: Sequence[str], *, may_stop: bool) -> Node:
    """One job; `told` is said behind its progress."""
    going = goes_on(job)
    stop: Node | None = None
    if going and not job.aborting and may_stop:
        stop = h("button", {"type": "button", "data-act": "job abort", "data-job": job.id}, "Stop")
    counts = [f"{count:,} {_WORDS.get(name, name)}" for name, count in progress_of(job).items() if count]
    return div(
        "job",
        div(
            "panel-head",
            state(_CLASSES[job.state], "ending" if going and job.aborting else job.state),
            about,
            span("soft", f"by {job.by}: {job.reason}, ", at(job.made_ms)),
            div("fill"),
            stop,
        ),
        h(
            "div",
            {"class": "share", "role": "img", "aria-label": f"{share:.0%} done"},
            h("span", {"class": _CLASSES[job.state], "style": f"--w:{share:.1%}"}),
        ),
        h("p", {"class": "soft number"}, ", ".join([*counts, *told]) or "nothing is done yet"),
        h("p", {}, job.message) if job.message else None,
        key=job.id,
    )
