"""`python -m tests.simulation SEED` tells the story of a seed; `--seeds 0:5000` looks for failing ones."""

import argparse
import sys
import time

from tests.simulation.search import digest, failures, report


def _range(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument(
        "seed", type=int, nargs="?", help="tell the story of this seed; shrink it if it fails"
    )
    parser.add_argument("--seeds", type=_range, help="look for failing ones, for example 0:5000")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--whole", action="store_true", help="do not shrink")
    parser.add_argument(
        "--digest", action="store_true", help="print a number that stands for all that happened"
    )
    options = parser.parse_args()
    if options.seeds is None:
        if options.seed is None:
            parser.error("give a seed, or --seeds FIRST:END")
        told = report(options.seed, smaller=not options.whole)
        print(told)
        return int("fails, here with" in told)
    if options.digest:
        print(digest(options.seeds))
        return 0
    begun = time.monotonic()
    failed = 0
    for seed, violations in failures(options.seeds, options.jobs):
        failed += 1
        print(f"python -m tests.simulation {seed}    # {violations[0][:160]}", flush=True)
    count, seconds = len(options.seeds), time.monotonic() - begun
    print(f"{count} seeds, {failed} failed, {seconds:.0f} s, {count / seconds:.1f} seeds/s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
