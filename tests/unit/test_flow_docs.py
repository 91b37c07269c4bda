"""docs/flows.md is true: its tables are those of the form, and its examples are right."""

import re
from pathlib import Path
from typing import assert_never

import pytest

from tracker.flow.form import (
    FLOW,
    Cel,
    Choice,
    Each,
    Field,
    Form,
    JsonPath,
    Kind,
    Short,
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
from tracker.flow.parse import parse

PATH = Path(__file__).parents[2] / "docs" / "flows.md"
HEAD = "flow: order\nversion: 1\nbegins: order.placed\nends: {completed: parcel.dispatched}\n"
# What a fragment refers to in the parts around it.
AROUND = {
    "events": "",
    "pause": "",
    "sla": "events: {a.b: {undo: a.c, undone: a.d}}\n",
    "compensate": "events: {a.b: {undo: a.c, undone: a.d}}\nsla: [{name: ship-on-time, within: 30m}]\n",
}


def forms(kind: Kind) -> dict[str, Form]:
    """Every form of the file, by its title."""
    match kind:
        case Form():
            inner = [forms(field.kind) for field in kind.fields]
            return {kind.title: kind} | {title: form for found in inner for title, form in found.items()}
        case Some(item=below) | Each(item=below) | Table(value=below):
            return forms(below)
        case Short(form=form):
            return forms(form)
        case Variants(forms=several):
            return {title: form for each in several for title, form in forms(each).items()}
        case _:
            return {}


def table(form: Form) -> str:
    """The fields of a form as docs/flows.md must have them."""
    lines = ["| field | value | default | meaning |", "| --- | --- | --- | --- |"]
    for field in form.fields:
        lines.append(f"| `{field.name}` | {value(field.kind)} | {default(field)} | {field.meaning} |")
    return "\n".join(lines) + "\n"


def default(field: Field) -> str:
    return "**required**" if field.required else field.default or "none"


def value(kind: Kind) -> str:
    match kind:
        case Word(what=what):
            return what
        case Text():
            return "text"
        case Whole(least=least, most=most):
            return f"number, {least} to {most:,}"
        case Truth():
            return "true or false"
        case Choice(words=words):
            return " or ".join(f"`{word}`" for word in words)
        case Span(percent=percent):
            return "duration, or 1% to 99%" if percent else "duration"
        case Cel(condition=condition):
            return "CEL, true or false" if condition else "CEL"
        case Yes():
            return "true"
        case JsonPath():
            return "JSONPath"
        case Some(item=item):
            return f"{value(item)}, or a list"
        case Each():
            return "list"
        case Table(key=key, value=inner):
            return f"mapping of {key.what}s" + ("" if isinstance(inner, Form) else f" to {value(inner)}")
        case Form() | Variants():
            return "mapping"
        case Short(single=single):
            return f"{value(single)}, or a mapping"
        case _:
            assert_never(kind)


def section(text: str, title: str) -> str:
    found = re.search(rf"<!-- {title} -->\n(.*?)<!-- /{title} -->", text, re.DOTALL)
    assert found, f"docs/flows.md has no section {title}"
    return found[1]


@pytest.mark.parametrize("title", forms(FLOW))
def test_every_field_is_documented_as_it_is_read(title: str) -> None:
    found = section(PATH.read_text(encoding="utf-8"), title)
    assert found == table(forms(FLOW)[title]), "run python -m tests.unit.test_flow_docs"


@pytest.mark.parametrize(
    "block", re.findall(r"```yaml\n(.*?)```", PATH.read_text(encoding="utf-8"), re.DOTALL)
)
def test_every_example_is_right(block: str) -> None:
    part = block.partition(":")[0]
    text = HEAD + AROUND[part] + block if part in AROUND else block
    assert list(map(str, parse(text).problems)) == []


if __name__ == "__main__":  # writes the tables into the document
    document = PATH.read_text(encoding="utf-8")
    for name, form in forms(FLOW).items():
        head = f"<!-- {name} -->\n"
        document = document.replace(head + section(document, name), head + table(form))
    PATH.write_text(document, encoding="utf-8")
