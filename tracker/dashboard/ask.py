"""A button, and the dialog that asks for what is needed."""

from collections.abc import Mapping

from tracker.core.collect import REASON_LENGTH_MAX
from tracker.dashboard.node import Child, Node, div, h


def ask(
    deed: str, name: str, button: str, title: str, what: str, given: Mapping[str, str], *inputs: Child
) -> list[Node]:
    """A button and its dialog, side by side in the page; the reason is asked for last.

    Parameters
    ----------
    deed : what is done then (`tracker.dashboard.deeds`).
    name : tells it from the others of the page.
    given : fields that are settled already; `inputs` are those that are asked for.
    """
    reason = h("textarea", {"name": "reason", "required": True, "rows": 3, "maxlength": REASON_LENGTH_MAX})
    why = h("label", {}, "Reason, for the audit log", reason)
    return dialog(deed, name, button, title, what, given, *inputs, why)


def dialog(
    deed: str, name: str, button: str, title: str, what: str, given: Mapping[str, str], *inputs: Child
) -> list[Node]:
    """The same for what needs no reason. Inputs elsewhere in the page join by `form`: `ask-NAME-form`."""
    id_ = f"ask-{name}"
    hidden = [h("input", {"type": "hidden", "name": key, "value": value}) for key, value in given.items()]
    return [
        h("button", {"type": "button", "data-open": id_, "key": f"{id_}-button"}, button),
        h(
            "dialog",
            {"id": id_, "aria-labelledby": f"{id_}-title", "key": id_},
            h("h2", {"id": f"{id_}-title"}, title),
            h(
                "form",
                {"data-act": deed, "id": f"{id_}-form"},
                h("p", {}, what),
                *hidden,
                *inputs,
                div(
                    "row",
                    h("button", {"type": "button", "data-close": True}, "Leave it"),
                    h("button", {"type": "submit", "class": "firm"}, button.removesuffix("…")),
                ),
            ),
        ),
    ]


def field(name: str, label: str, **attributes: str | int | bool) -> Node:
    """A line to write in."""
    return h("label", {}, label, h("input", {"name": name, "autocomplete": "off", **attributes}))


def choice(name: str, label: str, options: Mapping[str, str], chosen: str) -> Node:
    """One of these: what they stand for by what is said."""
    found = [h("option", {"value": key, "selected": key == chosen}, said) for key, said in options.items()]
    return h("label", {}, label, h("select", {"name": name}, *found))
