"""What a benchmark row hands back: our figure, the peers', and how ours compares."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

Figure = float | Mapping[str, float]
"""A rate in things per second, or p50/p95/p99 in milliseconds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `make bench`.

    A row module `tests/bench/<name>.py` has `async def run(bootstrap_servers: str) -> Row`, given a local
    Apache Kafka that it has to itself.

    Parameters
    ----------
    ours : our figure, the median of `runs` runs.
    peers : by name, measured in the same minutes.
    ratio : ours to the peer that the goal names, above 1 where we are better, for latencies too; None
        without a peer.
    goal : in words, as printed.
    extra : further figures that belong to the row, e.g. of a weaker guarantee.
    """

    name: str
    unit: str
    ours: Figure
    peers: Mapping[str, Figure]
    ratio: float | None
    goal: str
    runs: int
    extra: Mapping[str, Figure] = field(default_factory=dict)

    def json(self) -> str:
        """One line: `ours`, `peers` and `ratio`, and the rest."""
        fixed = {
            "row": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "peers": dict(self.peers),
            "ratio": self.ratio,
            "goal": self.goal,
            "runs": self.runs,
        }
        return json.dumps(fixed | dict(self.extra))
