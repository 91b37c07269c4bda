"""A flow file is read as a whole, or told what is wrong with it: all of it, and where."""

import time

import pytest

from tests.flow_mistakes import FLOW_TEXT, MISTAKES, Mistake, wrong
from tracker.core.flow import Answer, Between, Emit, Silence, WhenBreach, WhenDeadLetter, WhenEvent
from tracker.flow.expression import SAGA_VARIABLES, compile_expression
from tracker.flow.parse import PROBLEMS_MAX, FlowFile, parse, same_meaning


def parsed(text: str) -> FlowFile:
    return parse(text, "order.yaml")


def test_a_file_becomes_the_flow_that_it_describes() -> None:
    flow = parsed(FLOW_TEXT).flow

    assert flow is not None
    assert (flow.name, flow.version, flow.begins) == ("order", 1, "order.placed")
    assert (flow.completed, flow.failed) == (("parcel.dispatched",), ("order.cancelled",))
    assert flow.source == FLOW_TEXT
    charged = flow.events["payment.charged"].undo
    assert charged is not None
    assert (charged.command.type, charged.confirmed) == ("payment.refund", "payment.refunded")
    assert (charged.within_ms, charged.attempts) == (30_000, 5)
    assert charged.command.data["cents"].evaluate({"data": {"amount": 1.5}}) == 150.0
    assert flow.events["parcel.dispatched"].pivot


def test_each_kind_of_rule_is_read() -> None:
    flow = parsed(FLOW_TEXT).flow

    assert flow is not None
    between, whole, silence, answer = flow.rules
    assert isinstance(between, Between)
    assert (between.start, between.ends) == ("stock.reserved", ("payment.charged",))
    assert (between.within_ms, between.warn_ms, between.on_breach.alert) == (5_000, 4_000, True)
    assert isinstance(whole, Between)
    assert (whole.start, whole.ends, whole.warn_ms) == ("order.placed", (), 1_500_000)
    assert whole.on_breach.compensate
    assert isinstance(silence, Silence)
    assert silence.on_breach.emit is not None
    assert not silence.on_breach.alert
    assert answer == Answer("stock-answers", 2_000, "order.placed", "inventory", -1, answer.on_breach)
    assert not answer.on_breach.alert


def test_each_kind_of_trigger_is_read() -> None:
    flow = parsed(FLOW_TEXT).flow

    assert flow is not None
    declined, lost, dead, breach = flow.compensation.triggers
    assert declined == WhenEvent("payment.declined")
    assert isinstance(lost, WhenEvent)
    assert lost.condition is not None
    assert lost.condition.evaluate({"data": {"value": 101}}) is True
    assert (dead, breach) == (WhenDeadLetter(), WhenBreach("ship-on-time"))
    assert flow.compensation.order == "parallel"


def test_what_is_left_out_has_its_default() -> None:
    flow = parsed("flow: a\nversion: 1\nbegins: a.b\nends: {completed: a.c}\nevents: {a.d: {}}").flow

    assert flow is not None
    assert (flow.failed, flow.rules, flow.compensation.triggers, flow.description) == ((), (), (), "")
    assert flow.events["a.d"].undo is None


def test_short_forms_mean_the_same_as_long_ones() -> None:
    then = "{event: order.cancelled, with: {order_id: first.order_id, reason: reason}}"
    long = parsed(
        FLOW_TEXT.replace(then, "{event: order.cancelled}").replace("[order.cancelled]", "order.cancelled")
    )
    short = parsed(FLOW_TEXT.replace(then, "order.cancelled").replace("any", "[any]"))

    assert long.flow is not None
    assert short.flow is not None
    assert short.flow.compensation.then == Emit("order.cancelled")
    assert same_meaning(long.flow, short.flow)


def test_comments_layout_and_description_are_no_change_of_meaning() -> None:
    before = parsed(FLOW_TEXT).flow
    after = parsed(
        "# why\n" + FLOW_TEXT.replace("From the order", "From  an order").replace("{pivot", "{  pivot")
    ).flow
    other = parsed(FLOW_TEXT.replace("within: 5s", "within: 6s")).flow

    assert before is not None
    assert after is not None
    assert other is not None
    assert same_meaning(before, after)
    assert not same_meaning(before, other)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.message[:40])
def test_a_mistake_is_told_where_it_stands(mistake: Mistake) -> None:
    file = parsed(wrong(mistake))

    assert file.flow is None
    told = [(problem.line, problem.column, problem.message, problem.suggestion) for problem in file.problems]
    assert any(
        (line, column) == (mistake.line, mistake.column)
        and mistake.message in message
        and (suggestion == mistake.suggestion or not mistake.suggestion)
        for line, column, message, suggestion in told
    ), "\n".join(map(str, file.problems))


def test_all_mistakes_of_a_file_are_told_at_once_in_its_order() -> None:
    text = FLOW_TEXT
    for right, other in (
        ("version: 1", "version: x"),
        ("5s", "soon"),
        ("30m", "30"),
        ("- breach: ship", "- breach: shop"),
    ):
        text = text.replace(right, other, 1)

    problems = parsed(text).problems
    assert [problem.line for problem in problems] == [2, 21, 22, 31]
    assert str(problems[0]) == (
        "order.yaml:2:10: `version` is a whole number from 1 to 1,000,000, without quotes, not `x`"
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null"])
def test_an_empty_file_is_told_how_to_begin(text: str) -> None:
    assert [problem.message for problem in parsed(text).problems] == [
        "the file is empty: begin with `flow:` or `correlate:`, and a name"
    ]


def test_aliases_that_would_expand_without_bound_do_not() -> None:
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )
    begun = time.perf_counter()

    assert any("aliases are not taken" in problem.message for problem in parsed(laughs).problems)
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize("text", ["[" * 60_000, "{a: " * 15_000, "- " * 30_000, "? " * 30_000])
def test_deep_nesting_is_refused_before_it_costs_anything(text: str) -> None:
    begun = time.perf_counter()

    assert parsed(text).problems
    assert time.perf_counter() - begun < 5


def test_a_large_file_is_refused_unread() -> None:
    (problem,) = parsed("a: " + "é" * 40_000).problems
    assert "65,536 are the most" in problem.message


def test_what_grows_has_a_bound() -> None:
    events = "events:\n" + "".join(f"  a.e{number}: {{}}\n" for number in range(201))
    rules = "sla:\n" + "".join(f"  - {{name: r{number}, within: 1s}}\n" for number in range(101))
    told = [problem.message for problem in parsed(events + rules).problems]

    assert "`events` has 201 entries, but 200 are the most" in told
    assert "`sla` has 101 items, but 100 are the most" in told


def test_of_very_many_problems_the_first_are_told() -> None:
    text = FLOW_TEXT + "".join(f"wrong{number}: {'x' * 70}\n" for number in range(700))
    *told, last = parsed(text).problems

    assert len(told) == PROBLEMS_MAX
    assert last.message == "and 600 more problems: mend those above first"


def test_a_message_has_a_bound() -> None:
    (first, *_) = parsed(f"'{'x' * 60_000}': 1\nevents: {{'{'y' * 3_000}': 1}}").problems
    assert max(len(problem.message) for problem in parsed(f"events: {{{'y' * 3_000}: 1}}").problems) < 600
    assert len(first.message) < 600


def test_yaml_own_ideas_of_values_change_nothing() -> None:
    text = "flow: no\nversion: 1\nbegins: on\nends: {completed: y}\nsla: [{name: off, within: 1s}]"
    flow = parsed(text).flow

    assert flow is not None
    assert (flow.name, flow.begins, flow.completed, flow.rules[0].name) == ("no", "on", ("y",), "off")


def test_an_expression_is_equal_to_one_of_the_same_text() -> None:
    one, same = (compile_expression("first.a", SAGA_VARIABLES, condition=False) for _ in range(2))
    assert one == same
    assert one != compile_expression("first.b", SAGA_VARIABLES, condition=False)
