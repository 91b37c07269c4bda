"""States in words and classes of `style.css`: colour means state, and nothing else is coloured."""

from tracker.core.status import Status
from tracker.dashboard.node import Node, span
from tracker.view.clocks import Stand

ID_LENGTH = 8
"""Of the end of an id, which is what tells it from others: UUIDv7s begin with the time."""

STATUS_CLASSES = {
    Status.OPEN: "going",
    Status.RETRYING: "soon",
    Status.PAUSED: "plain",
    Status.COMPENSATING: "undo",
    Status.STUCK: "stuck",
    Status.COMPENSATED: "plain",
    Status.FAILED: "late",
    Status.CANCELLED: "plain",
    Status.COMPLETED: "ok",
}

STAND_CLASSES: dict[Stand, str] = {
    "on time": "ok",
    "due soon": "soon",
    "overdue": "late",
    "met": "ok",
    "late": "late",
    "missed": "late",
    "stopped": "plain",
    "paused": "plain",
}


def status_mark(status: Status) -> Node:
    """The status with its colour and its shape: nobody needs to tell colours apart."""
    return span(f"status {STATUS_CLASSES[status]}", status.value)


def state(classes: str, text: str) -> Node:
    """A text in the colour of a state."""
    return span(f"state {classes}", text)


def short_id(saga_id: str) -> str:
    """`…5de2a3b4`, as the CLI has it."""
    return saga_id if len(saga_id) <= ID_LENGTH + 1 else f"…{saga_id[-ID_LENGTH:]}"


def class_name(error: str | None) -> str:
    """The class without its module, which is the service's own affair and fills the line."""
    return (error or "").rpartition(".")[2]
