"""Any text is a flow or a list of problems; a flow that is written as text is read as itself."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.flow_mistakes import FLOW_TEXT
from tracker.core.flow import Flow
from tracker.flow.expression import UNDO_VARIABLES, ExpressionRefused, Fault, compile_expression
from tracker.flow.parse import parse

LINES = FLOW_TEXT.splitlines()
names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
types = st.from_regex(r"[a-z]{1,8}\.[a-z]{1,8}", fullmatch=True)
durations = st.integers(1, 10_000).flatmap(
    lambda number: st.sampled_from([f"{number}ms", f"{number}s", f"{number}m"])
)
words = st.one_of(
    names, types, durations, st.sampled_from([field for line in LINES for field in line.split()])
)
trees: st.SearchStrategy[Any] = st.recursive(
    st.one_of(words, st.integers(), st.booleans(), st.none(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=12,
)


def judged(text: str) -> Flow | None:
    """The flow; every problem has a place in the text and says something."""
    file = parse(text, "f.yaml")
    assert (file.flow is None) == bool(file.problems)
    lines = max(1, text.count("\n") + text.count("\r") + 1)
    for problem in file.problems:
        assert 1 <= problem.line <= lines + 1
        assert problem.column >= 1
        assert problem.message
        str(problem).encode()
    return file.flow


@given(st.text())
def test_any_text_is_a_flow_or_has_problems(text: str) -> None:
    judged(text)


@given(st.binary())
def test_so_is_what_any_bytes_decode_to(data: bytes) -> None:
    judged(data.decode(errors="surrogateescape"))


@given(trees)
def test_so_is_any_yaml(tree: object) -> None:
    judged(yaml.safe_dump(tree, allow_unicode=True))


@given(
    st.dictionaries(
        st.sampled_from(["flow", "version", "begins", "ends", "events", "sla", "compensate"]), trees
    )
)
def test_so_is_yaml_with_the_right_fields(tree: object) -> None:
    judged(yaml.safe_dump(tree))


@given(
    st.lists(st.tuples(st.integers(0, len(FLOW_TEXT)), st.integers(0, 8), st.text(max_size=4)), max_size=3)
)
def test_so_is_a_file_that_somebody_is_typing(edits: list[tuple[int, int, str]]) -> None:
    text = FLOW_TEXT
    for place, removed, typed in edits:
        text = text[:place] + typed + text[place + removed :]
    judged(text)


@given(st.text(max_size=40))
def test_any_expression_is_compiled_or_refused(text: str) -> None:
    faults: tuple[Fault, ...] = ()
    try:
        assert compile_expression(text, UNDO_VARIABLES, condition=False).text == text
    except ExpressionRefused as refused:
        faults = refused.faults
    assert all(fault.place.line >= 1 and fault.place.column >= 1 for fault in faults)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """What a file says, without contradictions: all event types are different."""
    drawn = iter(draw(st.lists(types, min_size=14, max_size=14, unique=True)))
    begins, completed, failed, then = (next(drawn) for _ in range(4))
    events = {
        next(drawn): {
            "by": draw(names),
            "undo": {"event": next(drawn), "with": {"id": "data.id", "why": "reason"}},
            "undone": next(drawn),
            "undo_within": draw(durations),
            "undo_attempts": draw(st.integers(1, 100)),
        }
        for _ in range(draw(st.integers(0, 2)))
    }
    rules: list[dict[str, Any]] = [
        {"name": f"between-{draw(names)}", "from": begins, "to": [completed], "within": draw(durations)},
        {
            "name": f"silence-{draw(names)}",
            "silence": draw(durations),
            "warn_at": f"{draw(st.integers(1, 99))}%",
        },
        {
            "name": f"answer-{draw(names)}",
            "event": begins,
            "by": draw(names),
            "within": "5s",
            "warn_at": "4999ms",
        },
    ]
    return {
        "flow": draw(names),
        "version": draw(st.integers(1, 1_000_000)),
        "description": draw(st.text("abc :#-'\"\n", max_size=20).filter(str.strip)),
        "begins": begins,
        "ends": {"completed": completed, "failed": [failed]},
        "events": events,
        "sla": draw(st.lists(st.sampled_from(rules), unique_by=lambda rule: rule["name"])),
        "compensate": {
            "when": [{"event": next(drawn), "if": "data.a > 1"}, {"dead_letter": "any"}],
            "order": draw(st.sampled_from(["reverse", "parallel"])),
            "then": then,
        },
    }


@given(files())
def test_a_flow_that_is_written_is_read_as_it_was_meant(content: dict[str, Any]) -> None:
    flow = judged(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))

    assert flow is not None
    assert (flow.name, flow.version, flow.description) == (
        content["flow"],
        content["version"],
        content["description"],
    )
    assert (flow.begins, flow.completed) == (content["begins"], (content["ends"]["completed"],))
    assert [rule.name for rule in flow.rules] == [rule["name"] for rule in content["sla"]]
    assert list(flow.events) == list(content["events"])
    for name, milestone in content["events"].items():
        undo = flow.events[name].undo
        assert undo is not None
        assert (undo.command.type, undo.confirmed, undo.attempts) == (
            milestone["undo"]["event"],
            milestone["undone"],
            milestone["undo_attempts"],
        )
        assert undo.command.data["id"].evaluate({"data": {"id": "o-1"}}) == "o-1"
    assert flow.compensation.order == content["compensate"]["order"]
    # Whatever the layout, the meaning is the same.
    again = judged(yaml.safe_dump(content, default_flow_style=True, width=30))
    assert again is not None
    assert (again.rules, again.events, again.compensation) == (flow.rules, flow.events, flow.compensation)
