"""What `saga show` tells of parent and children."""

from collections.abc import Iterable

from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.moment import timestamp
from tracker.cli.rows import short_id
from tracker.view.kin import ChildView, ParentView
from tracker.view.sagas import SHORT_ID_LENGTH_MIN


def parent_text(parent: ParentView) -> str:
    """`began by month.over of 0193a7c2-…`."""
    event = parent.type or (f"event {parent.event}" if parent.event else "an event")
    return f"began by {event} of {parent.saga}"


def child_name(child: ChildView) -> str:
    """`began order`: its flow, or the type of its first event."""
    return f"began {child.flow or child.begins}"


def child_text(child: ChildView, *oddities: str) -> Text:
    """`…5de2a3b4  completed`; without a status as long as nothing else is known of it."""
    text = Text(short_id(child.saga, SHORT_ID_LENGTH_MIN))
    if child.status is not None:
        text.append("  ").append(child.status, style=STATUS_STYLES[child.status])
    return Text("\n").join([text, *map(Text, oddities)])


def parent_json(parent: ParentView) -> dict[str, object]:
    """The parent for programs."""
    return {"saga": parent.saga, "event": parent.event or None, "type": parent.type or None}


def children_json(children: Iterable[ChildView]) -> list[dict[str, object]]:
    """The children for programs, oldest first."""
    return [
        {
            "saga": child.saga,
            "event": child.event or None,
            "began": timestamp(child.at_ms),
            "begins": child.begins,
            "flow": child.flow or None,
            "status": child.status,
        }
        for child in children
    ]
