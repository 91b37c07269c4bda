"""Searches that somebody has saved under a name."""

from collections.abc import Sequence

from tracker.dashboard.ask import dialog, field
from tracker.dashboard.node import Attributes, Node, div, h
from tracker.dashboard.place import Place, href, place_of
from tracker.dashboard.table import chip
from tracker.view.queries.views import NAME_LENGTH_MAX, SavedView


def views_bar(views: Sequence[SavedView], place: Place) -> Node:
    """A chip for each, with a way to be rid of the one that is shown; and to save what is."""
    asked = {name: value for name, value in place.asked.items() if name != "after"}
    shown = next((view for view in views if dict(_place(view).asked) == asked), None)
    chips = [chip(_place(view).href, view.name, on=view is shown) for view in views]
    if shown is not None:
        remove: Attributes = {
            "type": "button",
            "class": "quiet",
            "data-act": "view remove",
            "data-name": shown.name,
        }
        return div("chips views", *chips, h("button", remove, "Remove this view"))
    if not asked:
        return div("chips views", *chips)
    query = href("", asked).removeprefix("?")
    name = field("name", "Name", required=True, maxlength=NAME_LENGTH_MAX)
    what = "Its filters and its order are kept under a name, for you alone."
    save = dialog("view save", "view", "Save view", "Save this search", what, {"query": query}, name)
    return div("chips views", *chips, *save)


def _place(view: SavedView) -> Place:
    return place_of(f"/sagas?{view.query}")
