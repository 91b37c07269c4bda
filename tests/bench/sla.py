"""The tracker with a flow file: deadlines and undo rules active, and many sagas open."""

import tempfile
from pathlib import Path
from statistics import median

from tests.bench.row import Row
from tests.bench.tracker import tracked, worker

OPEN_SAGAS = 100_000
OPEN_EVENTS = 2
ORDERS = 25_000
ROUNDS = 3

FLOW = """
flow: order
version: 1
begins: order.placed
ends: {completed: order.closed, failed: order.cancelled}
events:
  stock.reserved: {by: bench, undo: stock.release, undone: stock.released}
  payment.charged: {by: bench, undo: payment.refund, undone: payment.refunded}
  parcel.dispatched: {by: bench, pivot: true}
sla:
  - {name: charge-fast, from: stock.reserved, to: payment.charged, within: 1d, warn_at: 80%}
  - {name: pack-fast, from: payment.charged, to: parcel.packed, within: 1d, warn_at: 80%}
  - {name: in-all, within: 30d, warn_at: 20d}
compensate:
  when: [{event: payment.declined}, {dead_letter: any}, {breach: in-all}]
  then: order.cancelled
"""


async def run(bootstrap_servers: str) -> Row:
    """Without a flow file first: the flows that a cluster once knew, it goes on knowing."""
    bare: list[float] = []
    ruled: list[float] = []
    one: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with worker(bootstrap_servers, folder) as process:
            for turn in range(ROUNDS):
                bare.append((await tracked(bootstrap_servers, process, f"bare-{turn}", ORDERS)).per_second)
        flows = Path(folder, "flows")
        flows.mkdir()
        (flows / "order.yaml").write_text(FLOW)
        rules = {"SAGA_FLOWS_DIR": str(flows)}
        async with worker(bootstrap_servers, folder, **rules) as process:
            await tracked(bootstrap_servers, process, "open", OPEN_SAGAS, OPEN_EVENTS)
        for turn in range(ROUNDS):  # by turns: what else the machine has to do, both have to bear
            for processes, rates in (("1", one), ("2", ruled)):
                async with worker(bootstrap_servers, folder, **rules, SAGA_PROCESSES=processes) as process:
                    done = await tracked(bootstrap_servers, process, f"ruled-{processes}-{turn}", ORDERS)
                    rates.append(done.per_second)
    return Row(
        name="sla",
        unit="events/s",
        ours=median(ruled),
        peers={"the same without a flow file": median(bare)},
        ratio=median(ruled) / median(bare),
        goal="50,000 on one core with 100,000 sagas open",
        runs=ROUNDS,
        extra={
            "in one process": median(one),
            "two processes to one": median(two / alone for two, alone in zip(ruled, one, strict=True)),
        },
    )
