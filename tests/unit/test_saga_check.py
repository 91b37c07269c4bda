"""`saga check`: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from saga.cli.app import application
from tests.flow_mistakes import FLOW_TEXT

ROOT = Path(__file__).parents[2]
SERVICES = [
    argument
    for name in ("orders", "inventory", "payments", "shipping")
    for argument in ("--service", f"services.{name}.handlers:{name}")
]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def check(*arguments: object) -> Result:
    return CliRunner().invoke(application(), ["check", *map(str, arguments)])


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    text = FLOW_TEXT.replace("version: 1", "vesion: 1").replace("within: 5s", "within: soon")
    (tmp_path / "order.yaml").write_text(text)
    return tmp_path / "order.yaml"


def test_the_example_is_right_and_fits_its_services() -> None:
    told = check(ROOT / "schemas" / "flows", *SERVICES)

    assert (told.exit_code, told.stdout, told.stderr) == (0, "", "1 file, no problem\n")


def test_without_services_it_says_what_it_did_not_check() -> None:
    told = check(ROOT / "schemas" / "flows")

    assert told.exit_code == 0
    assert "not checked against services" in told.stderr


def test_problems_are_told_as_compilers_do(broken: Path) -> None:
    told = check(broken)

    assert told.exit_code == 1
    first, second = told.stdout.splitlines()
    assert first == f"{broken}:2:1: a flow has no field `vesion`; did you mean version?"
    assert second.startswith(f"{broken}:21:76: `within` is a duration")
    assert told.stderr == "2 problems in 1 of 1 file\n"


def test_programs_get_json(broken: Path) -> None:
    told = check(broken.parent, "--json")

    assert told.exit_code == 1
    assert json.loads(told.stdout)[0] == {
        "file": str(broken),
        "line": 2,
        "column": 1,
        "message": "a flow has no field `vesion`",
        "suggestion": "version",
    }
    assert json.loads(check(ROOT / "schemas" / "flows", "--json").stdout) == []


def test_a_file_is_checked_against_the_services_that_are_named() -> None:
    told = check(ROOT / "schemas" / "flows" / "order.yaml", *SERVICES[2:])

    assert told.exit_code == 1
    assert "there is no service `orders`" not in told.stdout
    assert "no service publishes `order.cancelled`" not in told.stdout  # the tracker does
    assert "no service handles `order.placed`" not in told.stdout
    told = check(ROOT / "schemas" / "flows" / "order.yaml", *SERVICES[:2])
    assert "there is no service `payments`; known are: orders" in told.stdout


def test_files_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(FLOW_TEXT)

    assert f"{tmp_path / 'a.yaml'} has order@1 already" in check(tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no nowhere"),
        (["docs/json"], "there is no *.yaml in docs/json"),
        (["--service", "nowhere:x"], "no module 'nowhere'"),
        (["--service", "services.orders.handlers:order"], "has no service 'order'; services in it: orders"),
        (["--nothing"], "No such option"),
    ],
)
def test_what_can_not_be_checked_has_an_exit_code_of_its_own(arguments: list[str], message: str) -> None:
    told = check(*arguments)

    assert told.exit_code == 2
    assert message in told.stderr
