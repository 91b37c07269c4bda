"""Whether what a server tells is of now."""

from tracker.cli.console import note
from tracker.cli.remote import Remote
from tracker.view.documents.freshness import FreshnessDocument
from tracker.view.duration import human

STALE_MS = 10_000


async def tell_stale(server: Remote) -> FreshnessDocument:
    """Say so if the read model is not complete, or old."""
    found = await server.get("freshness", FreshnessDocument)
    idle = "" if found.alive else ", and nobody keeps it up to date: start `saga project`"
    if found.as_of is None:
        note(f"the read model of the server is empty{idle}")
    elif found.building:
        note(f"the read model of the server is being made: {found.built:.0%} of it is there{idle}")
    elif found.projector_age_ms > STALE_MS:
        note(f"the read model of the server is as of {human(found.projector_age_ms)} ago{idle}")
    tracker = found.tracker
    if tracker is not None and (tracker.age_ms > STALE_MS or not tracker.at_work):
        gone = "" if tracker.at_work else ", and none is at work: start `saga track`"
        note(f"the tracker is as of {human(tracker.age_ms)} ago{gone}")
    return found
