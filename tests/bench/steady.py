"""`python -m tests.bench.steady SERVERS PREFIX RATE SECONDS`: orders at a steady rate."""

import asyncio
import sys
import time
from collections import defaultdict
from itertools import islice
from typing import Any

from saga.core.envelope import rfc3339
from saga.runtime.kafka import AIOKafkaProducer
from tests.bench import orders
from tracker.core.frame import saga_partition

TICK_SECONDS = 0.01
EVENTS_PER_ORDER_MIN = 4


async def steady(bootstrap_servers: str, prefix: str, rate: int, seconds: int) -> None:
    """Publish so many events a second, and print how many they were and how long it took in milliseconds.

    What can't be sent in time is sent as soon as it can, so the rate holds over all.
    """
    total = rate * seconds
    events = orders.events(total // EVENTS_PER_ORDER_MIN + 1)
    sent = 0
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_batch_size=256 * 1024) as producer:
        for topic in orders.topics(prefix):
            await producer.partitions_for(topic)
        begun = time.perf_counter()
        while sent < total:
            due = min(total, int((time.perf_counter() - begun) * rate) + 1)
            sent += await _send(producer, prefix, islice(events, due - sent))
            await asyncio.sleep(TICK_SECONDS)
        await producer.flush()
    print(sent, round((time.perf_counter() - begun) * 1000))


async def _send(producer: AIOKafkaProducer, prefix: str, events: "islice[orders.Published]") -> int:
    """Send these as of now."""
    now_ms = time.time_ns() // 1_000_000
    now = ("ce_time", rfc3339(now_ms))
    batches: defaultdict[tuple[str, int], Any] = defaultdict(producer.create_batch)
    count = 0
    for context, saga, headers in events:
        headers = [now if name == "ce_time" else (name, value) for name, value in headers]
        place = f"{prefix}.{context}", saga_partition(saga, orders.PARTITIONS)
        batches[place].append(timestamp=now_ms, key=saga.encode(), value=orders.VALUE, headers=headers)
        count += 1
    await asyncio.gather(
        *(producer.send_batch(batch, topic, partition=number) for (topic, number), batch in batches.items())
    )
    return count


if __name__ == "__main__":
    asyncio.run(steady(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
