"""The tree of a file against the form that it must have: values where they fit, problems where not."""

import re
from dataclasses import dataclass
from typing import Any, assert_never

from saga.core.duration import duration_ms, duration_text
from saga.core.errors import DeclarationError
from tracker.core.correlation import PathStep
from tracker.flow.document import Mapping, Node, Scalar, Sequence
from tracker.flow.expression import CelExpression, ExpressionRefused, compile_expression
from tracker.flow.form import (
    ITEMS_MAX,
    Cel,
    Choice,
    Each,
    Form,
    JsonPath,
    Kind,
    Short,
    Single,
    Some,
    Span,
    Table,
    Text,
    Truth,
    Variants,
    Whole,
    Word,
    Yes,
)
from tracker.flow.json_path import PathRefused, json_path
from tracker.flow.problem import Place, Problem, nearest

FieldPath = tuple[str | int, ...]
"""The names and numbers that lead to a value: `("sla", 0, "within")`."""

_PERCENT = re.compile(r"([1-9]\d?)\s*%", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Percent:
    """A part of another duration."""

    value: int


@dataclass(frozen=True)
class Filled:
    """A form with the fields that are there and fit. An item of a list or table that does not is None."""

    form: Form
    fields: dict[str, Any]


class Reading:
    """Reads one file, of a flow or whatever `what` names. `problems` are in the order in which they are
    found, `places` those of all values and `keys` those of the names before them.
    """

    def __init__(self, file: str, what: str = "flow") -> None:
        self._file = file
        self._what = what
        self.problems: list[Problem] = []
        self.places: dict[FieldPath, Place] = {}
        self.keys: dict[FieldPath, Place] = {}

    def note(self, place: Place, message: str, suggestion: str = "") -> None:
        self.problems.append(Problem(self._file, place.line, place.column, message, suggestion))

    def read(self, node: Node, kind: Kind, path: FieldPath = ()) -> Any:
        """The value of a node; None when it does not fit, which is noted."""
        self.places[path] = node.place
        match kind:
            case Form():
                return self._form(node, kind, path)
            case Variants():
                names = {key.text for key, _ in node.entries} if isinstance(node, Mapping) else set()
                return self._form(node, kind.chosen(_meant(names, kind)), path, kind)
            case Short():
                return self.read(node, kind.form if isinstance(node, Mapping) else kind.single, path)
            case Some():
                return self._some(node, kind, path)
            case Each():
                return self._each(node, kind, path)
            case Table():
                return self._table(node, kind, path)
            case _:
                return self._single(node, kind, path)

    def _form(
        self, node: Node, form: Form, path: FieldPath, variants: Variants | None = None
    ) -> Filled | None:
        if not isinstance(node, Mapping):
            forms = (form,) if variants is None else variants.forms
            fields = dict.fromkeys(field.name for each in forms for field in each.fields)
            names = ", ".join(f"`{name}`" for name in fields)
            where = _where(path) if path else f"a {self._what} file"
            self.note(node.place, f"{where} is a mapping with {names}, not {_shown(node)}")
            return None
        filled: dict[str, Any] = {}
        meant: set[str] = set()
        for key, value in node.entries:
            field = form.field(key.text)
            if field is None:
                meant.add(self._unknown(key, form, path, variants))
                continue
            meant.add(field.name)
            inner = (*path, field.name)
            self.keys[inner] = key.place
            found = self.read(value, field.kind, inner)
            if found is not None:
                filled[field.name] = found
        for field in form.fields:
            if field.required and field.name not in meant:
                where = f" in {_where(path)}" if path else ""
                self.note(node.place, f"`{field.name}` is missing{where}. {field.meaning}")
        return Filled(form, filled)

    def _unknown(self, key: Scalar, form: Form, path: FieldPath, variants: Variants | None) -> str:
        """Note a field that the form has not; the field that was probably meant."""
        names = [field.name for field in form.fields]
        suggestion = nearest(key.text, names)
        where = _where(path) if path else f"a {self._what}"
        if variants is not None and any(other.field(key.text) for other in variants.forms):
            kinds = "; or ".join(", ".join(field.name for field in other.fields) for other in variants.forms)
            self.note(key.place, f"{key} does not go with the other fields of {where}; either {kinds}")
            return ""
        known = "" if suggestion else f"; it has {', '.join(names)}"
        self.note(key.place, f"{where} has no field {key}{known}", suggestion)
        return suggestion

    def _some(self, node: Node, kind: Some, path: FieldPath) -> tuple[Any, ...]:
        if not isinstance(node, Sequence):
            return (self.read(node, kind.item, path),)
        if len(node.items) < kind.least:
            self.note(node.place, f"{_where(path)} is an empty list: name at least one, or remove the field")
        return self._items(node, kind.item, path)

    def _each(self, node: Node, kind: Each, path: FieldPath) -> tuple[Any, ...] | None:
        if not isinstance(node, Sequence):
            self.note(node.place, f"{_where(path)} is a list, not {_shown(node)}: begin each item with `-`")
            return None
        return self._items(node, kind.item, path)

    def _items(self, node: Sequence, kind: Kind, path: FieldPath) -> tuple[Any, ...]:
        if len(node.items) > ITEMS_MAX:
            place = node.items[ITEMS_MAX].place
            self.note(place, f"{_where(path)} has {len(node.items)} items, but {ITEMS_MAX} are the most")
        items = node.items[:ITEMS_MAX]
        return tuple(self.read(item, kind, (*path, number)) for number, item in enumerate(items))

    def _table(self, node: Node, kind: Table, path: FieldPath) -> dict[str, Any] | None:
        if not isinstance(node, Mapping):
            self.note(node.place, f"{_where(path)} is a mapping of {kind.key.what}s, not {_shown(node)}")
            return None
        if len(node.entries) > kind.most:
            place = node.entries[kind.most][0].place
            self.note(place, f"{_where(path)} has {len(node.entries)} entries, but {kind.most} are the most")
        filled: dict[str, Any] = {}
        for key, value in node.entries[: kind.most]:
            name = self._word(key, kind.key)
            inner = (*path, key.text)
            self.keys[inner] = key.place
            found = self.read(value, kind.value, inner)
            if name is not None:
                filled[name] = found
        return filled

    def _single(self, node: Node, kind: Single, path: FieldPath) -> Any:
        if not isinstance(node, Scalar):
            wanted = "a CEL expression in quotes" if isinstance(kind, Cel) else "a single value"
            self.note(node.place, f"{_where(path)} is {wanted}, not {_shown(node)}")
            return None
        if node.empty:
            self.note(node.place, f"{_where(path)} has no value: write one, or remove the field")
            return None
        match kind:
            case Word():
                return self._word(node, kind)
            case Text():
                return self._text(node, kind, path)
            case Whole():
                return self._whole(node, kind, path)
            case Truth():
                return self._truth(node, path)
            case Yes():
                return self._yes(node, path)
            case Choice():
                return self._choice(node, kind, path)
            case Span():
                return self._span(node, kind, path)
            case Cel():
                return self._expression(node, kind)
            case JsonPath():
                return self._json_path(node)
            case _:
                assert_never(kind)

    def _word(self, node: Scalar, kind: Word) -> str | None:
        if re.fullmatch(kind.pattern, node.text):
            return node.text
        article = "an" if kind.what[0] in "aeiou" else "a"
        self.note(node.place, f"{node} can't be {article} {kind.what}: {kind.rule}")
        return None

    def _text(self, node: Scalar, kind: Text, path: FieldPath) -> str | None:
        if len(node.text) <= kind.length_max:
            return node.text
        self.note(node.place, f"{_where(path)} has more than {kind.length_max:,} characters: shorten it")
        return None

    def _whole(self, node: Scalar, kind: Whole, path: FieldPath) -> int | None:
        if node.plain and _NUMBER.fullmatch(node.text) and kind.least <= int(node.text) <= kind.most:
            return int(node.text)
        wanted = f"a whole number from {kind.least:,} to {kind.most:,}, without quotes"
        self.note(node.place, f"{_where(path)} is {wanted}, not {_quoted(node)}")
        return None

    def _truth(self, node: Scalar, path: FieldPath) -> bool | None:
        if node.plain and node.text in ("true", "false"):
            return node.text == "true"
        suggestion = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(node.text.lower(), "")
        message = f"{_where(path)} is true or false, without quotes, not {_quoted(node)}"
        self.note(node.place, message, suggestion)
        return None

    def _yes(self, node: Scalar, path: FieldPath) -> bool | None:
        if node.plain and node.text == "true":
            return True
        self.note(node.place, f"{_where(path)} is true, without quotes, or not there; not {_quoted(node)}")
        return None

    def _choice(self, node: Scalar, kind: Choice, path: FieldPath) -> str | None:
        if node.text in kind.words:
            return node.text
        message = f"{_where(path)} is {' or '.join(kind.words)}, not {node}"
        self.note(node.place, message, nearest(node.text, kind.words))
        return None

    def _span(self, node: Scalar, kind: Span, path: FieldPath) -> int | Percent | None:
        percent = _PERCENT.fullmatch(node.text.strip()) if kind.percent else None
        if percent is not None:
            return Percent(int(percent[1]))
        try:
            duration = duration_ms(node.text)
        except DeclarationError:
            wanted = "a number and ms, s, m, h or d, such as 10s"
            if kind.percent:
                wanted += ", or 1% to 99%"
            self.note(node.place, f"{_where(path)} is a duration, and {node} is none: write {wanted}")
            return None
        if not 1 <= duration <= kind.most_ms:
            message = f"{_where(path)} is a duration from 1ms to {duration_text(kind.most_ms)}, not {node}"
            self.note(node.place, message)
            return None
        return duration

    def _expression(self, node: Scalar, kind: Cel) -> CelExpression | None:
        try:
            return compile_expression(node.text, kind.variables, condition=kind.condition)
        except ExpressionRefused as refused:
            for fault in refused.faults:
                place = node.place
                if node.exact:
                    place = Place(place.line, node.text_column + fault.place.column - 1)
                self.note(place, fault.message, fault.suggestion)
            return None

    def _json_path(self, node: Scalar) -> tuple[PathStep, ...] | None:
        try:
            return json_path(node.text)
        except PathRefused as refused:
            place = node.place
            if node.exact:
                place = Place(place.line, node.text_column + refused.column - 1)
            self.note(place, str(refused))
            return None


def _meant(names: set[str], variants: Variants) -> frozenset[str]:
    """These fields, with those that mistyped ones are meant for."""
    known = {field.name for form in variants.forms for field in form.fields}
    return frozenset(names | {nearest(name, known) for name in names - known})


def _where(path: FieldPath) -> str:
    """The field as people call it: `within`, an item of `sla`."""
    last = path[-1]
    if isinstance(last, str):
        return f"`{last}`"
    return f"item {last + 1} of `{path[-2]}`"


def _shown(node: Node) -> str:
    return "nothing" if isinstance(node, Scalar) and node.empty else str(node)


def _quoted(node: Scalar) -> str:
    return str(node) if node.plain else f'`"{node.text:.60}"`'
