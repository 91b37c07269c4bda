"""What `saga show` tells of parent and children."""

from rich.text import Text

from tracker.cli.console import STATUS_STYLES
from tracker.cli.rows import short_id
from tracker.view.documents.saga import ChildDocument, ParentDocument
from tracker.view.sagas import SHORT_ID_LENGTH_MIN


def parent_text(parent: ParentDocument) -> str:
    """`began by month.over of 0193a7c2-…`."""
    event = parent.type or (f"event {parent.event}" if parent.event else "an event")
    return f"began by {event} of {parent.saga}"


def child_name(child: ChildDocument) -> str:
    """`began order`: its flow, or the type of its first event."""
    return f"began {child.flow or child.begins}"


def child_text(child: ChildDocument, *oddities: str) -> Text:
    """`…5de2a3b4  completed`; without a status as long as nothing else is known of it."""
    text = Text(short_id(child.saga, SHORT_ID_LENGTH_MIN))
    if child.status is not None:
        text.append("  ").append(child.status, style=STATUS_STYLES[child.status])
    return Text("\n").join([text, *map(Text, oddities)])
