"""What the expressions of a flow file can name."""

from typing import Any

from msgspec import DecodeError, json

from tracker.core.timeline import Timeline


def variables(timeline: Timeline, saga_id: str, event: str, reason: str) -> dict[str, Any]:
    """The variables for an expression about `event`, see `tracker.core.flow.Expression`."""
    root = timeline.root
    step = timeline.known(event)
    seen = None if step is None else step.seen
    first = None if root is None else timeline.step(root).seen
    return {
        "data": _payload(timeline, event),
        "first": _payload(timeline, root),
        "event": {
            "id": event,
            "type": "" if seen is None else seen.type,
            "source": "" if seen is None else seen.source,
            "time_ms": 0 if seen is None else seen.time_ms,
        },
        "saga": {"id": saga_id, "key": (first.key if first is not None else "") or saga_id},
        "reason": reason,
    }


def _payload(timeline: Timeline, event: str | None) -> Any:
    step = None if event is None else timeline.known(event)
    if step is None or not step.data:
        return {}
    try:
        return json.decode(step.data)
    except (DecodeError, UnicodeDecodeError):
        return {}
