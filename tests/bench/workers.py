"""Two trackers beside one: what an event costs both together.

On a machine with cores to spare twice the trackers do twice the work, less what it costs them to share it.
Here they would only take them from each other and from Kafka. So the CPU time of an event is measured, and
the ratio is what two processors of their own would make of it.
"""

import asyncio
import os
import tempfile
from contextlib import AsyncExitStack
from statistics import median

from tests.bench.row import Row
from tests.bench.tracker import tracked, worker

ORDERS = 25_000
ROUNDS = 3
SETTLE_SECONDS = 5.0
ONE_PROCESS = {"SAGA_PROCESSES": "1"}  # whose CPU time is that of collector and tracker


async def run(bootstrap_servers: str) -> Row:
    one, two = [], []
    for turn in range(ROUNDS):  # by turns: what else the machine has to do, both have to bear
        one.append(await _cpu_us(bootstrap_servers, 1, f"one-{turn}"))
        two.append(await _cpu_us(bootstrap_servers, 2, f"two-{turn}"))
    return Row(
        name="workers",
        unit="CPU µs/event",
        ours=round(median(two), 1),
        peers={"one tracker": round(median(one), 1)},
        ratio=median(2 * alone / both for alone, both in zip(one, two, strict=True)),
        goal="two trackers do 1.7 times the work of one",
        runs=ROUNDS,
    )


async def _cpu_us(bootstrap_servers: str, count: int, prefix: str) -> float:
    """CPU time of all trackers together for an event, collectors included, in microseconds."""
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(count):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            processes.append(
                await stack.enter_async_context(worker(bootstrap_servers, folder, **ONE_PROCESS))
            )
        await asyncio.sleep(SETTLE_SECONDS)  # until the groups have dealt the partitions
        before = sum(_cpu_seconds(process.pid) for process in processes)
        done = await tracked(bootstrap_servers, processes[0], prefix, ORDERS)
        return (sum(_cpu_seconds(process.pid) for process in processes) - before) / done.events * 1e6


def _cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
