"""Expressions of flow files, in CEL. The door to the CEL library.

Of the three libraries there are for Python, Google's own (C++) is taken: it checks names and types when
an expression is compiled, bounds nesting and iterations, and takes 6 µs for a value, a payload's
conversion included. The one on Rust checks nothing before it runs (45 µs), the one in Python neither
(160 µs), and a nested `map` keeps it busy for minutes.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from cel_expr_python import cel

from tracker.core.flow import ExpressionFailed
from tracker.flow.problem import Place, nearest

EXPRESSION_LENGTH_MAX = 1000
_NESTED_MAX = 100

_TYPES = {
    "data": cel.Type.DYN,
    "first": cel.Type.DYN,
    "event.id": cel.Type.STRING,
    "event.type": cel.Type.STRING,
    "event.source": cel.Type.STRING,
    "event.time_ms": cel.Type.INT,
    "saga.id": cel.Type.STRING,
    "saga.key": cel.Type.STRING,
    "reason": cel.Type.STRING,
}
_FUNCTIONS = re.findall(
    r"\w+",
    """all bool bytes contains double duration dyn endsWith exists exists_one filter getDate getDayOfWeek
    getFullYear getHours getMinutes getMonth getSeconds has int map matches size startsWith string
    timestamp type uint""",
)

EVENT_VARIABLES = ("data", "first", "event", "saga")
"""What a condition on an event knows."""

UNDO_VARIABLES = (*EVENT_VARIABLES, "reason")
"""What the undo of an event knows."""

SAGA_VARIABLES = ("first", "saga", "reason")
"""What is known where it is about no single event."""

_NO_JSON = ("BYTES", "TIMESTAMP", "DURATION", "TYPE")
_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_STATUS = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


class Fault(NamedTuple):
    """What is wrong with an expression; `place` counts from its first character."""

    place: Place
    message: str
    suggestion: str = ""


class ExpressionRefused(Exception):
    """The text is no expression, or none that may stand here; the faults say why."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in self.faults))


@dataclass(frozen=True)
class CelExpression:
    """An `Expression` of the core. Equal when the texts are."""

    text: str
    _compiled: Any = field(compare=False, repr=False)

    def evaluate(self, variables: Mapping[str, object]) -> object:
        """Its value, made of JSON's types.

        Raises
        ------
        ExpressionFailed
            A field it names does not exist, or has a type that the operation does not take.
        """
        try:
            value = self._compiled.eval(data=dict(_flat(variables)))
            failed = value.type() == cel.Type.ERROR
            plain = value.plain_value()
        except RuntimeError as error:
            # What Python has and CEL has not, such as half of a surrogate pair.
            raise ExpressionFailed(f"`{self.text}` can't be evaluated: {error}") from error
        if failed:
            raise ExpressionFailed(f"`{self.text}` has no value: {_STATUS.sub('', str(plain))}")
        if not _is_json(plain, _NESTED_MAX):
            raise ExpressionFailed(f"`{self.text}` gives {plain!r:.100}, which JSON has not: use string(…)")
        return plain


def compile_expression(text: str, variables: tuple[str, ...], *, condition: bool) -> CelExpression:
    """Compile an expression that may use these variables.

    Raises
    ------
    ExpressionRefused
        It is too long, no CEL, names what does not exist, or its type is known and wrong: a condition
        is true or false, anything else a value that JSON has.
    """
    if len(text) > EXPRESSION_LENGTH_MAX:
        message = f"an expression of {len(text):,} characters, but {EXPRESSION_LENGTH_MAX:,} are the most"
        raise ExpressionRefused([Fault(Place(), message)])
    try:
        compiled = _environment(variables).compile(text)
    except RuntimeError as error:
        raise ExpressionRefused(_faults(str(error), text, variables)) from error
    except TypeError as error:
        raise ExpressionRefused([Fault(Place(), "half of a surrogate pair is no text")]) from error
    kind = compiled.return_type().name()
    if condition and kind not in ("BOOL", "DYN"):
        raise ExpressionRefused([Fault(Place(), f"a condition is true or false, and this is {_named(kind)}")])
    if not condition and kind.startswith(_NO_JSON):
        message = f"JSON has no {_named(kind).split(maxsplit=1)[1]}: write string({text})"
        raise ExpressionRefused([Fault(Place(), message)])
    return CelExpression(text, compiled)


@cache
def _environment(variables: tuple[str, ...]) -> Any:
    known = {name: kind for name, kind in _TYPES.items() if name.partition(".")[0] in variables}
    return cel.NewEnv(variables=known)


def _flat(variables: Mapping[str, object]) -> Iterable[tuple[str, object]]:
    # `event` and `saga` are compiled field by field, so that a wrong field is seen in the file.
    for name, value in variables.items():
        if name in ("event", "saga") and isinstance(value, Mapping):
            for part, inner in value.items():
                yield f"{name}.{part}", inner
        else:
            yield name, value


def _is_json(value: object, levels: int) -> bool:
    match value:
        case None | bool() | int() | str():
            return True
        case float():
            return math.isfinite(value)
        case list():
            return levels > 0 and all(_is_json(item, levels - 1) for item in value)
        case dict():
            return levels > 0 and all(
                isinstance(key, str) and _is_json(item, levels - 1) for key, item in value.items()
            )
        case _:
            return False


def _faults(told: str, text: str, variables: tuple[str, ...]) -> Iterable[Fault]:
    found = _ERROR.findall(told)
    if not found:
        yield Fault(Place(), f"this is no CEL: {_STATUS.sub('', _STATUS.sub('', told))}")
    for line, column, message in found:
        place = Place(max(1, int(line)), max(1, int(column)))
        undeclared = _UNDECLARED.match(message)
        if undeclared is None:
            message = _STATUS.sub("", message).removeprefix("Syntax error: ").partition(" expecting ")[0]
            yield Fault(place, f"this is no CEL: {message}")
        else:
            yield _unknown(undeclared[1], place, text, variables)


def _unknown(name: str, place: Place, text: str, variables: tuple[str, ...]) -> Fault:
    """A name that does not exist; the library points at the dot or bracket behind it."""
    root, _, inner = name.partition(".")
    known = [variable for variable in _TYPES if variable.partition(".")[0] in variables]
    lines = text.splitlines() or [""]
    line = lines[min(place.line, len(lines)) - 1]
    place = Place(place.line, max(0, line.rfind(root, 0, place.column - 1 + len(root))) + 1)
    if line[place.column - 1 + len(name) :].lstrip().startswith("("):
        return Fault(place, f"there is no function {name}", nearest(name, _FUNCTIONS))
    if root in variables:
        fields = [variable for variable in known if variable.startswith(f"{root}.")]
        if not inner:
            return Fault(place, f"`{root}` by itself is no value, {_listed(fields)} are")
        return Fault(place, f"`{name}` is unknown, {_listed(fields)} are known", nearest(name, fields))
    if root in {variable.partition(".")[0] for variable in _TYPES}:
        return Fault(place, f"`{root}` is not known here, only {_listed(variables)} are")
    suggestion = nearest(root, variables)
    whole = name.replace(root, suggestion, 1) if suggestion else ""
    return Fault(place, f"`{root}` is unknown, {_listed(variables)} are known here", whole)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _named(kind: str) -> str:
    name = kind.partition("<")[0].lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
