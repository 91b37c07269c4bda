"""The peer of the tracker: a Faust agent that writes its RocksDB table once for each event."""

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from typing import Any

import faust

from tests.bench import orders

DEADLINE_SECONDS = 60


async def write_per_event(bootstrap_servers: str, prefix: str, events: int) -> float:
    """Seconds from the first event to the commit of the last table write, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, bootstrap_servers, prefix, str(events), folder, stdout=PIPE
        )
        try:
            assert process.stdout is not None
            return float(await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS))
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _run(bootstrap_servers: str, prefix: str, events: int, folder: str) -> None:
    app = faust.App(
        prefix,
        broker=f"kafka://{bootstrap_servers}",
        store="rocksdb://",
        datadir=folder,
        web_enabled=False,
        autodiscover=False,
        topic_disable_leader=True,
        topic_partitions=orders.PARTITIONS,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
    )
    topic = app.topic(*orders.topics(prefix), key_type=bytes, value_type=bytes, value_serializer="raw")
    sagas = app.Table("sagas", partitions=orders.PARTITIONS, options={"driver": "rocksdict"})
    done = asyncio.Event()
    began = 0.0
    left = events

    @app.agent(topic)  # type: ignore[untyped-decorator]
    async def track(stream: Any) -> None:
        nonlocal began, left
        async for event in stream.events():
            began = began or time.perf_counter()
            headers = event.headers
            saga = headers["ce_correlationid"].decode()
            steps = sagas.get(saga) or {}
            steps[headers["ce_id"].decode()] = headers["ce_type"].decode(), headers["ce_time"].decode()
            sagas[saga] = steps
            left -= 1
            if left == 0:
                done.set()

    await app.start()
    await done.wait()
    await app.producer.flush()
    print(time.perf_counter() - began, flush=True)
    os._exit(0)  # Faust's threads would take their time


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
