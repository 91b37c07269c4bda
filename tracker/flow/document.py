"""The YAML of a flow file as a tree that knows its lines. The door to the YAML library.

Scalars stay text: what they mean is for their field to say, so that YAML's own ideas (`no` is false,
`1:30` is 90) change nothing. Of YAML only what such files need is taken: no tags, and no anchors, since
a few lines of them expand without bound.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import yaml

from tracker.flow.problem import Place, Problem

FILE_BYTES_MAX = 64 * 1024
DEPTH_MAX = 12
_SHOWN_MAX = 60


@dataclass(frozen=True)
class Scalar:
    """A single value. `plain`: written without quotes. `exact`: each character stands in the file as it
    is here, from `text_column` on.
    """

    text: str
    place: Place
    plain: bool = True
    exact: bool = False

    @property
    def text_column(self) -> int:
        return self.place.column + (0 if self.plain else 1)

    @property
    def empty(self) -> bool:
        """Whether there is no value, as in `flow:` and nothing behind it."""
        return self.plain and self.text in ("", "~", "null")

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= _SHOWN_MAX else self.text[:_SHOWN_MAX] + "…"
        return "`" + "".join(each if each.isprintable() else "?" for each in shown) + "`"


@dataclass(frozen=True)
class Sequence:
    """A list."""

    items: "tuple[Node, ...]"
    place: Place

    def __str__(self) -> str:
        return "a list"


@dataclass(frozen=True)
class Mapping:
    """Keys with their values, in the order of the file; no key twice."""

    entries: "tuple[tuple[Scalar, Node], ...]"
    place: Place

    def __str__(self) -> str:
        return "a mapping"


Node = Scalar | Sequence | Mapping


def read_document(text: str, file: str) -> tuple[Node | None, tuple[Problem, ...]]:
    """The tree of a text, and what is wrong with it as YAML; None when it can't be read to its end."""
    reading = _Reading(file)
    size = len(text.encode(errors="replace"))
    if size > FILE_BYTES_MAX:
        reading.note(
            Place(), f"the file has {size:,} bytes, but {FILE_BYTES_MAX:,} are the most: split the flow"
        )
        return None, tuple(reading.problems)
    try:
        return reading.document(yaml.parse(text, Loader=yaml.SafeLoader)), tuple(reading.problems)
    except yaml.reader.ReaderError as error:
        reading.note(_place_of(text, error.position), f"this is no text for YAML: {error.reason}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f" {error.context}" if error.context else ""
        reading.note(_place(mark), f"this is no YAML: {error.problem}{context}{_hint(str(error.problem))}")
    except (ValueError, OverflowError) as error:
        reading.note(Place(), f"this is no YAML: {error}")  # escapes that stand for no character
    except _TooDeep as error:
        reading.note(error.place, f"more than {DEPTH_MAX} levels: no flow file needs so many")
    return None, tuple(reading.problems)


class _TooDeep(Exception):
    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


class _Reading:
    """Reads events of the YAML library. Lazily, so that the limits hold before the work is done."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.problems: list[Problem] = []

    def note(self, place: Place, message: str) -> None:
        self.problems.append(Problem(self._file, *place, message))

    def document(self, events: Iterator[yaml.Event]) -> Node | None:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                if root is not None:
                    self.note(_place(event.start_mark), "a second document: one file holds one flow or rule")
                    return root
                root = self._node(event, events, 1)
        if root is None or (isinstance(root, Scalar) and root.empty):
            self.note(Place(), "the file is empty: begin with `flow:` or `correlate:`, and a name")
            return None
        return root

    def _node(self, event: yaml.NodeEvent, events: Iterator[yaml.Event], depth: int) -> Node:
        place = _place(event.start_mark)
        if depth > DEPTH_MAX:
            raise _TooDeep(place)
        if isinstance(event, yaml.AliasEvent):
            self.note(place, f"*{event.anchor}: aliases are not taken here, write the value out")
            return Scalar("", place)
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent), event
        if event.anchor:
            self.note(place, f"&{event.anchor}: anchors are not taken here, remove it")
        if event.tag:
            self.note(place, f"the tag {event.tag} is not taken here, remove it")
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(tuple(self._nodes(events, depth)), place)
        if not isinstance(event, yaml.ScalarEvent):
            return Mapping(tuple(self._entries(events, depth)), place)
        if not _encodable(event.value):
            self.note(place, "half of a surrogate pair is no text: write the character itself")
            return Scalar("", place)
        return _scalar(event)

    def _nodes(self, events: Iterator[yaml.Event], depth: int) -> Iterator[Node]:
        while isinstance(event := next(events), yaml.NodeEvent):
            yield self._node(event, events, depth + 1)

    def _entries(self, events: Iterator[yaml.Event], depth: int) -> Iterator[tuple[Scalar, Node]]:
        seen: dict[str, Place] = {}
        nodes = self._nodes(events, depth)
        for key in nodes:
            value = next(nodes)
            if not isinstance(key, Scalar):
                self.note(key.place, f"{key} can't be the name of a field")
            elif key.text in seen:
                where = seen[key.text].line
                self.note(key.place, f"{key} stands here twice, first in line {where}: remove one")
            else:
                seen[key.text] = key.place
                yield key, value


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    start, end = event.start_mark, event.end_mark
    assert start is not None, event
    assert end is not None, event
    plain = event.style is None
    length = len(event.value) + (0 if plain else 2)
    exact = start.line == end.line and end.column - start.column == length
    return Scalar(event.value, _place(start), plain, exact)


def _encodable(text: str) -> bool:
    return not any("\ud800" <= each <= "\udfff" for each in text)


class _Mark(Protocol):
    line: int
    column: int


def _place(mark: _Mark | None) -> Place:
    return Place() if mark is None else Place(mark.line + 1, mark.column + 1)


def _place_of(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, position - before.rfind("\n"))


def _hint(problem: str) -> str:
    if "'\\t'" in problem:
        return "; indent with spaces"
    unquoted = ("cannot start any token", "mapping values are not allowed", "but got '['")
    if any(each in problem for each in unquoted):
        return "; put the value in quotes"
    return ""
