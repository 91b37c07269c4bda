"""The link to where traces are looked at, if the settings name such a place."""

from urllib.parse import quote

from tracker.dashboard.node import Child, link


def trace_link(template: str, saga: str, trace: str | None = None) -> list[Child]:
    """A link by `SAGA_TRACE_URL`; nothing without one, or if it asks for a trace and none is known."""
    if not template or ("{trace_id}" in template and not trace):
        return []
    url = template.replace("{trace_id}", trace or "").replace("{saga_id}", quote(saga, safe=""))
    return [link(url, "", "open them" if trace is None else "open it")]
