"""The whole tracker without Kafka: thousands of ways for things to go wrong, each repeatable by its seed.

`SAGA_SIMULATION_SEEDS` says how many seeds are tried, 900 by default; every tenth of them is a new one.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.plan import plan
from tests.simulation.search import failures, report
from tests.simulation.simulation import simulate

ROOT = Path(__file__).parents[2]
SEEDS = int(os.environ.get("SAGA_SIMULATION_SEEDS", "900"))
_PART = 270
FRESH = random.SystemRandom().randrange(10_000, 2**31)


@pytest.mark.parametrize("first", range(0, SEEDS - SEEDS // 10, _PART))
@pytest.mark.timeout(900)
def test_nothing_is_lost_doubled_or_told_wrongly(first: int) -> None:
    _check(range(first, min(first + _PART, SEEDS - SEEDS // 10)))


@pytest.mark.timeout(900)
def test_nor_by_seeds_that_nobody_has_tried() -> None:
    print(f"fresh seeds: --seeds {FRESH}:{FRESH + SEEDS // 10}")
    _check(range(FRESH, FRESH + SEEDS // 10))


def _check(seeds: range) -> None:
    jobs = min(2, os.cpu_count() or 1)
    for seed, _ in failures(seeds, jobs):
        pytest.fail(report(seed), pytrace=False)


def test_a_seed_is_the_same_story_every_time() -> None:
    for seed in (3, 20, 206):
        assert simulate(plan(seed)) == simulate(plan(seed))


def test_not_even_the_hashes_of_python_change_it() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "0:10", "--digest"]
    told = {
        subprocess.run(
            command,
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=120,
            env={**os.environ, "PYTHONHASHSEED": number},
        ).stdout
        for number in ("1", "2")
    }

    assert len(told) == 1
