"""How many took how long: a column for each step, with the steps growing from the left to the right."""

from collections.abc import Sequence
from typing import NamedTuple

from tracker.dashboard.node import Node, div, h

_LABELS = 4


class Column(NamedTuple):
    """So many things, from `edge` on; `hint` says it in words."""

    edge: str
    many: int
    hint: str


def histogram(columns: Sequence[Column], end: str, label: str) -> Node:
    """The columns, and the edges of some below them; `end` is the edge behind the last."""
    top = max((column.many for column in columns), default=0) or 1
    every = max(1, -(-len(columns) // _LABELS))
    edges = [(index, columns[index].edge) for index in range(0, len(columns), every)]
    # One that is near the end would be written over it.
    edges = [*(each for each in edges if len(columns) - each[0] >= every / 2), (len(columns), end)]
    drawn = [_column(each, each.many / top) for each in columns]
    return div(
        "histogram",
        h("div", {"class": "columns", "role": "img", "aria-label": label}, drawn),
        div("axis", [_edge(text, index / len(columns)) for index, text in edges]),
    )


def _column(column: Column, share: float) -> Node:
    return div("step-column", h("span", {"style": f"--h:{share:.2%}"}), title=column.hint)


def _edge(text: str, share: float) -> Node:
    return h("span", {"style": f"--x:{share:.2%}"}, text)
