"""Who may import whom (the contracts are in pyproject.toml), and that the cores know no clock."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORES = sorted([*ROOT.glob("saga/core/**/*.py"), *ROOT.glob("tracker/core/**/*.py")])

# `datetime.fromtimestamp` and the like only convert; these look at the clock or throw dice.
IMPURE_MODULES = {"time", "random", "secrets", "asyncio", "os", "socket", "threading", "subprocess"}
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "uuid7"}


def test_the_import_contracts_hold() -> None:
    told = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("path", CORES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_core_reads_a_clock_or_throws_dice(path: Path) -> None:
    assert _impurities(ast.parse(path.read_text())) == []


def test_the_test_finds_what_it_looks_for() -> None:
    guilty = "import time as t\nfrom datetime import datetime\nfrom os import path\ndatetime.now()\nuuid4()\n"

    assert _impurities(ast.parse(guilty)) == ["time", "os", "now()", "uuid4()"]


def _impurities(tree: ast.Module) -> list[str]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [(node.lineno, alias.name) for alias in names if _top(alias.name) in IMPURE_MODULES]
            case ast.ImportFrom(module=str(module), level=0) if _top(module) in IMPURE_MODULES:
                found.append((node.lineno, module))
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in IMPURE_CALLS:
                found.append((node.lineno, f"{name}()"))
    return [name for _, name in sorted(found)]


def _top(module: str) -> str:
    return module.partition(".")[0]
