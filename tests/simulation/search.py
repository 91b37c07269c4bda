"""Many simulations: which seeds fail, what their stories are, and the number that stands for them."""

import gc
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from zlib import crc32

from tests.simulation.plan import Plan, plan
from tests.simulation.shrink import shrink
from tests.simulation.simulation import Outcome, simulate

_CHUNK = 20


def failures(seeds: Iterable[int], jobs: int) -> Iterator[tuple[int, list[str]]]:
    """The seeds that fail, with what is wrong."""
    chunks = _chunks(seeds)
    if jobs == 1:
        for chunk in chunks:
            yield from _failures(chunk)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for found in pool.map(_failures, chunks):
            yield from found


def report(seed: int, *, smaller: bool = True) -> str:
    """What is wrong with a seed, the plan in its smallest form, its story, and how to repeat it."""
    whole = plan(seed)
    outcome = simulate(whole)
    if not outcome.violations:
        return "\n".join([_told(whole), *outcome.story, f"seed {seed}: all is as it should be"])
    small = shrink(whole, _fails) if smaller else whole
    found = simulate(small)
    return "\n".join(
        [
            _told(small),
            *found.story,
            "",
            *found.violations,
            "",
            f"seed {seed} fails, here with {len(small.sagas)} of {len(whole.sagas)} sagas and "
            f"{len(small.faults)} of {len(whole.faults)} faults. Repeat it with",
            f"    python -m tests.simulation {seed}",
        ]
    )


def digest(seeds: Iterable[int]) -> int:
    """A number that stands for everything that happened."""
    found = 0
    for seed in seeds:
        found = crc32(f"{simulate(plan(seed)).digest}".encode(), found)
    return found


def _fails(candidate: Plan) -> bool:
    return bool(simulate(candidate).violations)


def _failures(seeds: list[int]) -> list[tuple[int, list[str]]]:
    gc.disable()  # what a simulation leaves behind has cycles, and is collected once a chunk
    try:
        outcomes: list[tuple[int, Outcome]] = [(seed, simulate(plan(seed))) for seed in seeds]
    finally:
        gc.enable()
        gc.collect()
    return [(seed, outcome.violations) for seed, outcome in outcomes if outcome.violations]


def _chunks(seeds: Iterable[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for seed in seeds:
        chunk.append(seed)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _told(shown: Plan) -> str:
    lines = [
        f"seed {shown.seed}: {shown.trackers} trackers, {shown.collectors} collectors, "
        f"{shown.partitions} partitions, {shown.poll_records} records a fetch, "
        f"clocks {shown.skews_ms} ms ahead, "
        f"{'parallel' if shown.parallel else 'reverse'}"
        f"{', a breach compensates' if shown.breach_compensates else ''}"
        f"{', failures pause' if shown.failures_pause else ''}"
        f"{', standby' if shown.standby else ''}"
        f"{f', sagas are kept for {shown.kept_ms} ms' if shown.kept_ms >= 0 else ''}",
        *(f"  {saga}" for saga in shown.sagas),
        *(f"  {fault}" for fault in shown.faults),
        *(f"  {order}" for order in shown.orders),
        *(f"  {booking}" for booking in shown.bookings),
    ]
    return "\n".join(lines)
