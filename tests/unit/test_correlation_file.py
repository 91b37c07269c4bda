"""Correlation rules as files: what is read, what is refused and where."""

from pathlib import Path as File

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.flow_mistakes import FLOW_TEXT
from tracker.core.correlation import Constant, Header, Key, Moment, Path, Rule, Rules
from tracker.core.flow import Flows
from tracker.flow.check import check_against, check_together
from tracker.flow.json_path import PathRefused, json_path
from tracker.flow.parse import parse
from tracker.flow.record import Version, decode_record, encode_rule, rule_key
from tracker.flow.schema import CORRELATION_FILE_NAME, json_schemas
from tracker.runtime.flow_folder import FlowFolder

RULE_TEXT = """\
correlate: receipt
version: 1
description: From the town hall.
topics: [receipts, "legacy.*"]
saga: {path: "$['case:concept:name']", prefix: case-}
type:
  path: $.activity
id: [{header: x-id}, {key: true}]
time: {path: "$.times[0]", unit: us}
source: {value: town hall}
"""


def test_every_field_is_read() -> None:
    file = parse(RULE_TEXT, "receipt.yaml")

    assert (file.problems, file.flow, file.draft) == ((), None, None)
    assert file.rule == Rule(
        "receipt",
        1,
        ("receipts", "legacy.*"),
        (Path(("case:concept:name",), "case-"),),
        (Path(("activity",)),),
        (Header("x-id"), Key()),
        (Moment(Path(("times", 0)), 1_000_000),),
        origin=(Constant("town hall"),),
        description="From the town hall.",
        source=RULE_TEXT,
    )


KEYS_TEXT = """\
correlate: shop
version: 1
topics: shop
saga:
  keys:
    order: {path: $.order}
    payment: [{path: $.payment}, {header: x-payment}]
type: {path: $.type}
"""


def test_several_keys_are_read_in_their_order() -> None:
    file = parse(KEYS_TEXT, "shop.yaml")

    assert file.problems == ()
    assert file.rule is not None
    assert (file.rule.saga, file.rule.keys) == (
        (),
        (("order", (Path(("order",)),)), ("payment", (Path(("payment",)), Header("x-payment")))),
    )
    Draft202012Validator(json_schemas()[CORRELATION_FILE_NAME]).validate(yaml.safe_load(KEYS_TEXT))


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("keys:", "key:", "6:5: `key` is a single value, not a mapping"),
        ("keys:", "kees:", "5:3: `saga` has no field `kees`; did you mean keys?"),
        ("order: {path", "Order: {path", "6:5: `Order` can't be a key: lower case letters"),
        ("order: {path: $.order}", "order: $.order", "6:12: `order` is a mapping with `header`"),
        ("{path: $.order}", "{value: x}", "6:12: `order` can't be always the same: all records"),
        (
            "    order: {path: $.order}\n",
            "",
            "6:5: one key joins nothing: write its place, with `prefix",
        ),
        ("  keys:\n", "  header: x\n  keys:\n", "6:3: `keys` does not go with the other fields of `saga`"),
    ],
)
def test_a_mistake_in_keys_is_told_with_its_place(right: str, wrong: str, told: str) -> None:
    assert right in KEYS_TEXT
    file = parse(KEYS_TEXT.replace(right, wrong, 1), "shop.yaml")

    assert file.rule is None
    assert [str(problem)[: len("shop.yaml:" + told)] for problem in file.problems] == [f"shop.yaml:{told}"]


def test_keys_stand_alone() -> None:
    text = KEYS_TEXT.replace("saga:\n  keys:\n", "saga:\n  - header: x\n  - keys:\n").replace(
        "    order", "      order"
    )
    file = parse(text.replace("    payment", "      payment"), "shop.yaml")

    assert [str(problem) for problem in file.problems] == [
        "shop.yaml:5:3: `keys` stand alone: put what else may name the saga into one of them"
    ]


OTHER_TEXT = """\
correlate: bank
version: 1
topics: bank
saga: {keys: {payment: {path: $.payment}, order: {path: $.order}}}
type: {path: $.type}
"""


def test_rules_that_share_a_key_name_all_in_the_same_order() -> None:
    shop, bank = parse(KEYS_TEXT, "shop.yaml"), parse(OTHER_TEXT, "bank.yaml")
    more = parse(KEYS_TEXT.replace("shop\n", "more\n").replace("type:", "    refund: {path: $.r}\ntype:"))
    assert shop.rule is not None

    assert list(map(str, check_together([shop, bank]))) == [
        "bank.yaml:4:15: the rule shop in shop.yaml has `payment` too, beside order, payment: "
        "name them in its order"
    ]
    [problem] = check_against(bank, Flows(), Rules([shop.rule]))
    assert problem.message.startswith("the rule shop in this cluster has `payment` too")
    assert more.rule is not None
    assert check_together([shop, more]) == check_against(more, Flows(), Rules([shop.rule])) == ()


MISTAKES = [
    ("correlate:", "corelate:", "1:1: a correlation rule has no field `corelate`; did you mean correlate?"),
    ("version: 1\n", "", "1:1: `version` is missing"),
    ("receipts,", "re ceipts,", "4:10: `re ceipts` can't be a topic: letters, digits"),
    ("saga:", "sagas:", "5:1: a correlation rule has no field `sagas`; did you mean saga?"),
    ("prefix:", "suffix:", "5:40: `saga` has no field `suffix`; it has path, prefix"),
    ("path: $.activity", "path: $..activity", "7:10: this can find several values"),
    ("path: $.activity", "path: activity", "7:9: a path begins with `$`, which is the whole record: $.act"),
    ("x-id}", "x-id, path: $.id}", "8:21: `path` does not go with the other fields of item 1 of `id`"),
    ("key: true", "key: false", "8:28: `key` is true, without quotes, or not there; not `false`"),
    ("{header: x-id}, {key: true}", "{value: x}", "8:6: `id` can't be always the same: each event needs"),
    ("unit: us", "unit: days", "9:34: `unit` is s or ms or us or ns, not `days`"),
    ("{value: town hall}", "town hall", "10:9: `source` is a mapping with `header`, `prefix`, `key`"),
    ("town hall}", "''}", "10:17: `` can't be a text: one line"),
    ('"$.times[0]"', "$.times[0]", "9:21: this is no YAML: expected ',' or '}', but got '['"),
    ("source:", "flow: x\nsource:", "10:1: a correlation rule has no field `flow`; it has correlate"),
]


@pytest.mark.parametrize(("right", "wrong", "told"), MISTAKES, ids=[told[:40] for *_, told in MISTAKES])
def test_a_mistake_is_told_with_its_place(right: str, wrong: str, told: str) -> None:
    assert right in RULE_TEXT
    file = parse(RULE_TEXT.replace(right, wrong, 1), "receipt.yaml")

    assert file.rule is None
    assert [str(problem)[: len("receipt.yaml:" + told)] for problem in file.problems] == [
        f"receipt.yaml:{told}"
    ]


def test_the_schema_for_editors_takes_it_and_marks_mistakes() -> None:
    schema = json_schemas()[CORRELATION_FILE_NAME]
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    validator.validate(yaml.safe_load(RULE_TEXT))
    for right, wrong, told in MISTAKES:
        if not any(beyond in told for beyond in ("no YAML", "several", "always the same")):
            assert not validator.is_valid(yaml.safe_load(RULE_TEXT.replace(right, wrong, 1))), told


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$.a.b_1", ("a", "b_1")),
        ("$['a b']['it\\'s \"q\"']", ("a b", 'it\'s "q"')),
        ('$["x\\"y"]["\\u00e9"]', ('x"y', "é")),
        ("$.größe[0][ -12 ]", ("größe", 0, -12)),
    ],
)
def test_a_path_names_one_value(text: str, steps: tuple[str | int, ...]) -> None:
    assert json_path(text) == steps


@pytest.mark.parametrize(
    ("text", "column"),
    [
        *(("", 1), ("a.b", 1), ("$", 1), ("$." + "a" * 500, 1), ("$.a-b", 4), ("$.a.", 4), ("$.a[01]", 4)),
        *(("$..a", 2), ("$.*", 2), ("$.a[*]", 4), ("$.a[?(@.x)]", 4), ("$.a[1:2]", 4), ("$['\\ud800']", 2)),
    ],
)
def test_what_is_no_path_or_finds_several_values_is_refused(text: str, column: int) -> None:
    with pytest.raises(PathRefused) as refused:
        json_path(text)
    assert refused.value.column == column


def test_a_rule_goes_through_kafka_as_its_text() -> None:
    rule = parse(RULE_TEXT).rule
    assert rule is not None

    found = decode_record(rule_key("receipt"), encode_rule(rule, retired=True))
    assert isinstance(found, Version)
    assert (found.file.rule, found.retired) == (rule, True)


def test_rules_lie_beside_flows_and_are_judged_like_them(tmp_path: File) -> None:
    (tmp_path / "order.yaml").write_text(FLOW_TEXT)
    (tmp_path / "receipt.yaml").write_text(RULE_TEXT)
    (tmp_path / "twice.yaml").write_text(RULE_TEXT)
    folder = FlowFolder(tmp_path)
    folder.look()

    flows, problems = folder.judged(Flows())
    assert [flow.name for flow in flows] == ["order"]
    (rule,) = folder.rules(problems)
    assert [problem.message for problem in problems[str(tmp_path / "twice.yaml")]] == [
        f"{tmp_path / 'receipt.yaml'} has the rule receipt already: rename or remove one"
    ]
    (tmp_path / "twice.yaml").unlink()
    (tmp_path / "receipt.yaml").write_text(RULE_TEXT.replace("$.activity", "$.act"))
    folder.look()
    _, problems = folder.judged(Flows(), Rules([rule]))
    assert folder.rules(problems) == []
    assert [problem.message for problem in problems[str(tmp_path / "receipt.yaml")]] == [
        "version 1 of the rule receipt says something else in this cluster: raise `version`"
    ]
